"""Keeps a room: python room_bot.py NAME [HOME] [LINK]...

Whoever writes "join" to it is invited. In the room it greets those who join, and tells who is there when somebody asks "who?".
"""

import asyncio
import sys

import meshchat


async def main(name: str, home: str | None, links: list[str]) -> None:
    async with meshchat.Node(home, nickname=f"{name}-bot", links=links or ["udp"]) as node:
        mine = [room for room in await node.rooms() if room.owner == node.id and room.name == name]
        room = mine[0] if mine else await node.create_room(name)
        print(f"NODE_ID: {node.id}", flush=True)
        async for event in node.events():
            try:
                await answer(node, room.id, event)
            except meshchat.RoomError as error:
                # Nobody else is there, or it has been invited already.
                print(error, flush=True)


async def answer(node: meshchat.Node, room: str, event: meshchat.Event) -> None:
    if isinstance(event, meshchat.Message) and event.room is None:
        if event.text.strip().lower() == "join":
            await node.invite(room, event.sender)
        else:
            await node.send(event.sender, 'write "join" to be invited to the room')
    elif isinstance(event, meshchat.Message) and event.room == room:
        if event.text.strip().lower() == "who?":
            names = {other.id: other.name for other in await node.nodes()}
            members = (await node.resolve_room(room)).members
            others = sorted(names.get(id, id[-5:]) for id in members if id != node.id)
            await node.send_to_room(room, f"here are: {', '.join(others)}")
    elif isinstance(event, meshchat.RoomChanged) and event.room == room:
        if event.change is meshchat.RoomChange.JOINED and event.node not in (None, node.id):
            known = {other.id: other.name for other in await node.nodes()}
            await node.send_to_room(room, f"welcome, {known.get(event.node, event.node[-5:])}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        asyncio.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None, sys.argv[3:]))
    except KeyboardInterrupt:
        pass
    except meshchat.MeshChatError as error:
        sys.exit(f"room_bot: {error}")
