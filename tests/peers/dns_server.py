"""A name server on 127.0.0.1:53 whose answers are a zone file, read anew for each question.

Usage: dns_server.py ZONE_FILE. What the file does not hold has no records; nothing is ever refused.
"""

import sys
import time

from dnslib import RR
from dnslib.server import BaseResolver, DNSLogger, DNSServer


class Zone(BaseResolver):
    def __init__(self, path):
        self.path = path

    def resolve(self, request, handler):
        with open(self.path, encoding="ascii") as file:
            records = RR.fromZone(file.read())
        reply = request.reply()
        question = request.q
        reply.add_answer(
            *(r for r in records if r.rname == question.qname and r.rtype == question.qtype)
        )
        return reply


quiet = DNSLogger(log="-request,-reply,-truncated,-error", prefix=False)
for tcp in (False, True):
    DNSServer(Zone(sys.argv[1]), port=53, address="127.0.0.1", tcp=tcp, logger=quiet).start_thread()
while True:
    time.sleep(3600)
