"""The MatrixRTC authorization service (ASGI): hands LiveKit tokens to those whom their homeserver knows.

Stands in for Element's lk-jwt-service: same routes, answers and LIVEKIT_* variables; MSC4195 describes the protocol.
"""
