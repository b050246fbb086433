"""Accepts every file into a folder: python file_drop.py FOLDER [HOME] [LINK]..."""

import asyncio
import sys

import meshchat


async def main(folder: str, home: str | None, links: list[str]) -> None:
    async with meshchat.Node(home, nickname="drop", links=links or ["udp"], downloads=folder) as node:
        print(f"NODE_ID: {node.id}", flush=True)
        async for event in node.events():
            if isinstance(event, meshchat.FileOffered):
                try:
                    await node.accept_file(event.file)
                except meshchat.StorageError as error:
                    # No room, perhaps: the sender is told, and may try again later.
                    print(f"refused {event.file.name!r}: {error}", flush=True)
                    await node.refuse_file(event.file)
            elif isinstance(event, meshchat.FileDone):
                print(f"{event.file.path} from {event.file.peer}", flush=True)
            elif isinstance(event, meshchat.FileFailed):
                print(f"{event.file.name!r} from {event.file.peer}: {event.file.reason}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        asyncio.run(main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None, sys.argv[3:]))
    except KeyboardInterrupt:
        pass
    except meshchat.MeshChatError as error:
        sys.exit(f"file_drop: {error}")
