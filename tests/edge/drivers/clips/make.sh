#!/bin/sh
# Make the clips of test_clip.py with FFmpeg, in this folder. They are in the repository, as few machines have FFmpeg.
set -e
cd "$(dirname "$0")"
make() { ffmpeg -hide_banner -loglevel error -y "$@"; }
source="-f lavfi -i testsrc=s=48x32:r=10:d=4"
exact="-fflags +bitexact -flags +bitexact -map_metadata -1"

# Variable rate: 20 frames, 0.1 s apart, then nothing for 18 s, then 20 frames.
gap="setpts='if(lt(N,20),N/10/TB,(N/10+18)/TB)'"
make $source -vf "$gap" -fps_mode vfr -c:v mpeg4 -q:v 20 $exact gap.mkv
make $source -vf "$gap" -fps_mode vfr -c:v libvpx -cpu-used 8 -b:v 20k $exact gap.webm
make $source -vf "$gap" -fps_mode vfr -c:v flv -q:v 20 $exact gap.flv
make $source -vf "$gap" -fps_mode vfr -c:v libx264 -crf 50 -bf 0 $exact gap.ts
make -i gap.mkv -c copy -fps_mode passthrough $exact gap.mp4
make -i gap.mkv -c copy -fps_mode passthrough -movflags frag_keyframe+empty_moov $exact fragmented.mp4

# Constant rate, and sound that is twice as long as the pictures.
sound="-f lavfi -i anullsrc=r=8000:cl=mono:d=8"
make $source $sound -c:v mpeg4 -q:v 20 -c:a aac $exact sound.mkv
make $source $sound -c:v libvpx -cpu-used 8 -b:v 20k -c:a libopus $exact sound.webm
make $source $sound -c:v libx264 -crf 50 -bf 0 -c:a aac -b:a 8k $exact sound.ts
make $source $sound -c:v flv -q:v 20 -c:a aac $exact sound.flv
make $source $sound -c:v mpeg4 -q:v 20 -c:a aac $exact sound.mp4
make $source $sound -c:v mpeg4 -q:v 20 -c:a adpcm_ms $exact sound.avi

# Trimmed without encoding again: the edit list skips the first frames of the index.
make $source -c:v mpeg4 -q:v 20 -g 40 $exact whole.mp4
make -ss 1.3 -i whole.mp4 -c copy -movflags +faststart $exact trimmed.mp4
make -i whole.mp4 -c copy -movflags +faststart $exact index_first.mp4
rm whole.mp4
