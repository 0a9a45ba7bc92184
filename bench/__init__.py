"""Benchmarks of the runtime and the converter, each against a bar: one command each, on any machine.

    python -m bench convert           a whole conversion over the bare call of TensorFlow's converter
    python -m bench cpu [CLIP]        processor time per second of video, beside the papers' loop
    python -m bench overhead [CLIP]   the whole step over the bare inference calls on the same frames
    python -m bench edge              from a frame's capture to the edge on the pin, 99th percentile
    python -m bench memory [CLIP]     peak memory of the whole ``fmd run`` process
    python -m bench runtimes A B      one model on LiteRT and on onnxruntime, in turns
    python -m bench slope             memory over 100,000 simulated frames, with its confidence interval

Milliseconds on a busy machine say little. So the two sides of a comparison take turns on the same frames. Where
possible they are measured in processor seconds (CLOCK_PROCESS_CPUTIME_ID: all threads of the process), which the load
of other processes changes little. Every command prints its measurements and bars, and exits 1 if a bar is missed.

    measure      measurements and bars; slopes and their confidence intervals
    clips        frames of a file, held in memory as a camera's driver is given them
    loops        fmd's loop and the papers', each one frame at a time
    papers_loop  the papers' loop, from its description
"""
