"""The built book on localhost."""

import http.server
from functools import partial
from pathlib import Path


def serve(folder: Path, port: int) -> int:
    """Serve the folder until Ctrl-C; on a free port if the asked one is taken."""
    if not (folder / "index.html").is_file():
        raise ValueError(f"folder must hold the built book, got {folder}: run make book SERVE=0")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError:  # taken, so any free one
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    with server:
        print(f"The book: http://localhost:{server.server_port}   (Ctrl-C stops)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0
