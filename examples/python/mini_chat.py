"""The smallest chat: python mini_chat.py PEER [HOME] sends each line to PEER, and shows what comes."""

import asyncio
import sys

import meshchat


async def show(node: meshchat.Node) -> None:
    async for event in node.events():
        if isinstance(event, meshchat.NodeFound):
            print(f"* found {event.node.name}", flush=True)
        elif isinstance(event, meshchat.Message):
            # repr() keeps a stranger's text from giving orders to the terminal.
            print(f"{event.sender[-5:]}: {event.text!r}", flush=True)
        elif isinstance(event, meshchat.StatusChanged):
            print(f"* {event.id[:8]} {event.status}", flush=True)


async def main(peer: str, home: str | None) -> None:
    async with meshchat.Node(home) as node:
        print(f"NODE_ID: {node.id}", flush=True)
        shower = asyncio.create_task(show(node))
        while line := await asyncio.to_thread(sys.stdin.readline):
            try:
                await node.send(peer, line.rstrip("\n"))
            except meshchat.MeshChatError as error:
                print(f"! {error}", flush=True)
        shower.cancel()


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    try:
        asyncio.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None))
    except KeyboardInterrupt:
        pass
    except meshchat.MeshChatError as error:
        sys.exit(f"mini_chat: {error}")
