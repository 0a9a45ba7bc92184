"""The web page: a process and user of its own, which knows fmd only through a socket of the running service.

    password.py      scrypt hashes and the file with one per role; needs the standard library alone
    settings.py      the page's own settings: port, names, certificate
    service.py       client of the service's socket (:mod:`edge.page_messages` defines the requests)
    sessions.py      who is signed in; limits.py: how often a password may be tried
    gate.py          checks of every request (Host, Origin), headers of every reply
    site.py          what all views share, and Visit: one request of one visitor
    routes.py        the table of routes: path, role, view; app.py makes the application from it
    signing.py       signing in and out
    views.py         one function per screen (more of them: views_*.py)
    actions.py       one function per change that a form or script asks for
    live.py          pictures (MJPEG) and state (server-sent events), the limits of viewers
    connections.py   limits of connections and times; server.py runs uvicorn with them
    show_live.py ...  what each screen shows of the service's replies; words.py: states in words and colours
    accuracy.py      measured accuracy of the shipped models by the width of a face
    parts.py         what changes on an open screen, as HTML
    templates/       one page each; base.html holds what they share
    static/          page.css, page.js

Everything in a template is escaped. There is no inline script or style: the headers forbid it.
"""
