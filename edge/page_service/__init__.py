"""The service's side of the web page: answers to the requests of :mod:`edge.page_messages`, at a socket of its own.

live       newest step of each camera, and the state of the door in a reply
hints      what is wrong with the newest picture, for the person who aims the camera
pictures   JPEG of the newest picture, with blurred faces
faces      for how long pictures show faces
log_lines  newest lines of this process' log
jobs       answers that take long, in a child process, one at a time
answers    the table: request -> answer
serving    everything above, joined to a run

Nothing here runs in the thread of the loop but :class:`edge.page_service.live.LiveView`, for microseconds.
"""
