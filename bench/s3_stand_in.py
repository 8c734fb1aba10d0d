"""A fast server with the part of S3 that a bulk copy needs.

    s3_stand_in.py FILES BYTES

Uploads are discarded, every download is the same buffer. Prints its URL; ends when stdin closes.
"""

import base64
import hashlib
import http.server
import os
import re
import sys
import threading
import zlib

FILES, SIZE = int(sys.argv[1]), int(sys.argv[2])
DATA = os.urandom(SIZE)
VIEW = memoryview(DATA)
ETAG = f'"{hashlib.md5(DATA).hexdigest()}"'
CRC32 = base64.b64encode(zlib.crc32(DATA).to_bytes(4, "big")).decode()
DATE = "Mon, 23 Nov 2026 04:00:00 GMT"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def discard_body(self):
        # The base class answers `Expect: 100-continue`.
        left, buffer = int(self.headers.get("Content-Length") or 0), memoryview(bytearray(1 << 20))
        while left:
            left -= self.rfile.readinto(buffer[: min(left, len(buffer))])

    def do_PUT(self):
        self.discard_body()
        UPLOADED.set()
        self.answer(200, ETag=ETAG)

    def do_POST(self):
        self.discard_body()
        name = (
            "InitiateMultipartUploadResult"
            if "uploads" in self.path
            else "CompleteMultipartUploadResult"
        )
        self.answer(
            200,
            f"<{name}><Bucket>bucket</Bucket><UploadId>1</UploadId><ETag>{ETAG}</ETag></{name}>".encode(),
        )

    def do_HEAD(self):
        if "/data/" not in self.path:
            return self.answer(404)
        self.send_response(200)
        for name, value in {
            "ETag": ETAG,
            "x-amz-checksum-crc32": CRC32,
            "Last-Modified": DATE,
            "Content-Length": SIZE,
        }.items():
            self.send_header(name, str(value))
        self.end_headers()

    def do_GET(self):
        if "list-type" in self.path:
            return self.answer(200, self.listing())
        if "uploads" in self.path:
            return self.answer(200, b"<ListMultipartUploadsResult></ListMultipartUploadsResult>")
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not wanted:
            return self.answer(200, VIEW, ETag=ETAG, x_amz_checksum_crc32=CRC32, Last_Modified=DATE)
        first, last = int(wanted[1]), min(int(wanted[2] or SIZE - 1), SIZE - 1)
        self.answer(
            206,
            VIEW[first : last + 1],
            ETag=ETAG,
            Last_Modified=DATE,
            Content_Range=f"bytes {first}-{last}/{SIZE}",
        )

    def listing(self):
        objects = (
            "".join(
                f"<Contents><Key>data/{number:03}</Key><Size>{SIZE}</Size><ETag>{ETAG}</ETag>"
                "<LastModified>2026-11-23T04:00:00.000Z</LastModified><StorageClass>STANDARD</StorageClass></Contents>"
                for number in range(FILES)
            )
            if UPLOADED.is_set()
            else ""
        )
        head = "<IsTruncated>false</IsTruncated>"
        return f"<ListBucketResult>{head}{objects}</ListBucketResult>".encode()


UPLOADED = threading.Event()


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 64
    daemon_threads = True


server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
sys.stdin.read()
