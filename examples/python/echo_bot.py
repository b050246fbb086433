"""Answers every message with its own text: python echo_bot.py [HOME] [LINK]..."""

import asyncio
import sys

import meshchat


async def main(home: str | None, links: list[str]) -> None:
    async with meshchat.Node(home, nickname="echo", links=links or ["udp"]) as node:
        print(f"NODE_ID: {node.id}", flush=True)
        async for event in node.events():
            if isinstance(event, meshchat.Message):
                # The answer is on disk before the message counts as dealt with: none is lost, whenever this ends.
                await node.send(event.sender, event.text)


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else None, sys.argv[2:]))
    except KeyboardInterrupt:
        pass
    except meshchat.MeshChatError as error:
        sys.exit(f"echo_bot: {error}")
