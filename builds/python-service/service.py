"""Answers with a greeting.

usage: service.py [--once] [--port=N]

--once    ask itself one time and stop
--port=N  listen here [default: 8080]
"""
from threading import Thread
from urllib.request import urlopen
from wsgiref.simple_server import WSGIRequestHandler, make_server

import bottle
import docopt
import jinja2

greeting = jinja2.Template("hello, {{ name }}, from bottle")


@bottle.get("/hello/<name>")
def hello(name):
    return greeting.render(name=name)


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


options = docopt.docopt(__doc__)
once = options["--once"]
address = ("127.0.0.1", 0) if once else ("0.0.0.0", int(options["--port"]))
server = make_server(*address, bottle.default_app(), handler_class=Quiet)
if once:
    Thread(target=server.handle_request).start()
    print(urlopen(f"http://127.0.0.1:{server.server_port}/hello/world").read().decode())
else:
    server.serve_forever()
