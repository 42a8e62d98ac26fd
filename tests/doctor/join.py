"""Two participants in a room of their own, told on stdin; what they saw goes to stdout. For `LiveKit.join`."""

import asyncio
import dataclasses
import json
import sys
from typing import Any

from livekit import api

from samsesh.clients import participant


def token(asked: dict[str, Any], identity: str) -> str:
    grants = api.VideoGrants(room_join=True, room="test", can_publish=True, can_subscribe=True)
    return api.AccessToken(asked["key"], asked["secret"]).with_identity(identity).with_grants(grants).to_jwt()


async def main(asked: dict[str, Any]) -> participant.Call:
    async with api.LiveKitAPI(
        asked["url"].replace("ws", "http", 1), asked["key"], asked["room_secret"] or asked["secret"]
    ) as livekit:
        if not asked["no_room"]:
            await livekit.room.create_room(api.CreateRoomRequest(name="test"))
        tokens = (token(asked, "speaker"), token(asked, "listener"))
        try:
            return await asyncio.to_thread(participant.apart, asked["url"], tokens, asked["transport"])
        finally:
            if not asked["no_room"]:
                await livekit.room.delete_room(api.DeleteRoomRequest(room="test"))


if __name__ == "__main__":
    given = {"room_secret": "", "no_room": "", **json.load(sys.stdin)}
    json.dump(dataclasses.asdict(asyncio.run(main(given))), sys.stdout)
