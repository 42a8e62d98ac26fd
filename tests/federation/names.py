"""A name server over UDP and TCP: address and records as JSON on stdin; says "ready", then runs until it is ended."""

import json
import socket
import sys
import threading

from rtc.homeservers import Hit, answer_name


def over_udp(link: socket.socket, records: Hit) -> None:
    while True:
        data, peer = link.recvfrom(4096)
        link.sendto(answer_name(data, records), peer)


def over_tcp(listener: socket.socket, records: Hit) -> None:
    while True:
        link, _ = listener.accept()
        with link:
            asked = link.recv(4096)
            answer = answer_name(asked[2:], records)
            link.sendall(len(answer).to_bytes(2, "big") + answer)


def main() -> None:
    address, records = json.load(sys.stdin)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind((address, 53))
    tcp = socket.create_server((address, 53))
    threading.Thread(target=over_tcp, args=(tcp, records), daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    over_udp(udp, records)


if __name__ == "__main__":
    main()
