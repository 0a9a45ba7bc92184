"""The runtime's bars, measured: one command each, on any machine, nothing taken from memory.

    python -m bench convert           a whole conversion over the bare call of TensorFlow's converter
    python -m bench cpu [CLIP]        processor time a second of video, beside the papers' loop
    python -m bench overhead [CLIP]   the whole step over the bare inference calls on the same frames
    python -m bench edge              from a frame's capture to the pin's edge, 99th percentile
    python -m bench memory [CLIP]     peak memory of the whole ``fmd run`` process
    python -m bench slope             memory over 100,000 simulated frames, with its confidence interval

Milliseconds of a busy machine say little. What is compared here is measured turn by turn, on the same frames and, where
it can be, in processor seconds (CLOCK_PROCESS_CPUTIME_ID: all threads of the process), which a neighbour's load moves
little. Every command prints the figure, the bar, and exits 1 where the bar is not met.

    measure      a figure against its bar; percentiles, slopes and their confidence
    clips        frames of a file held in memory, as a camera's driver gets them
    loops        fmd's loop and the papers', each one frame at a time
    papers_loop  the papers' loop, from its description
"""
