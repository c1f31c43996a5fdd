"""A server of pages that were rendered to files, with the headers of the plugin, for the browser's tests."""

import http.server
import queue
import threading

POLICY = ("default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
          "form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".html": "text/html; charset=utf-8"}


class Server:
    """Serves a folder; `send` gives all streams of events a fragment."""

    def __init__(self, folder):
        self.folder, self.streams, self.is_signed_in = folder, [], True
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                path = self.path.split("?")[0]
                if path == "/events" and not owner.is_signed_in:
                    return self.send_error(401)
                if path == "/events":
                    return owner.stream(self)
                file = owner.folder / path.lstrip("/")
                file = file if file.suffix else file.with_suffix(".html")
                if not file.is_file():
                    return self.send_error(404)
                body = file.read_bytes()
                self.send_response(200)
                self.send_header("Content-Type", TYPES[file.suffix])
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Security-Policy", POLICY)
                self.end_headers()
                self.wfile.write(body)

            def do_HEAD(self):
                self.send_response(200 if owner.is_signed_in else 401)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def stream(self, handler):
        events = queue.Queue()
        self.streams.append(events)
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        try:
            while (event := events.get()) is not None:
                handler.wfile.write(event.encode())
                handler.wfile.flush()
        except OSError:
            pass
        self.streams.remove(events)

    def sign_out(self):
        """Ends all streams and refuses others, as the plugin does when a session ends."""
        self.is_signed_in = False
        for stream in list(self.streams):
            stream.put(None)

    def send(self, fragment):
        data = "".join(f"data: {line}\n" for line in fragment.splitlines())
        for stream in list(self.streams):
            stream.put(data + "\n")

    def send_alive(self):
        for stream in list(self.streams):
            stream.put("event: alive\ndata:\n\n")

    def close(self):
        self.http.shutdown()
