"""Look-alike of a database of surgical videos: captions of clips at three levels, frames taken out."""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path

from lookalikes.kit import Expected, LookAlike, lookalike, picture

TABLES = """
CREATE TABLE videos (video_id INTEGER PRIMARY KEY, name TEXT, youtube_id TEXT, fps REAL, duration REAL, total_caption_count INTEGER,
  procedure_modality TEXT, procedure_type TEXT, specialty TEXT, subject TEXT);
CREATE TABLE levels (level_id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE captions (caption_id INTEGER PRIMARY KEY, video_id INTEGER, level_id INTEGER,
  start_time REAL, end_time REAL, duration REAL,
  caption TEXT, raw_narration TEXT, is_descriptive INTEGER, is_surgical_content INTEGER);
CREATE TABLE transcriptions (video_id INTEGER, path TEXT);
"""
HOOK, DUCT, PHASE = (
    "The surgeon dissects the calot triangle with a hook.",
    "The surgeon exposes the cystic duct.",
    "The calot triangle dissection phase is performed.",
)
CAPTIONS = [  # video, level, start, end, caption, raw narration, descriptive, surgical
    (7, 1, 12.0, 19.5, HOOK, "so now we ...", 1, 1),
    (7, 2, 5.0, 64.0, DUCT, "...", 1, 1),
    (7, 3, 0.0, 310.0, PHASE, "...", 1, 1),
    (7, 1, 30.0, 40.0, DUCT, "...", 1, 1),
    (7, 2, 8.0, 90.0, "Welcome to the channel.", "...", 1, 0),
    (7, 1, 10.0, 22.0, "Uh, right.", "...", 0, 1),
    (7, 1, 9.0, 25.0, "Not judged.", "...", None, None),
    (7, 3, 0.0, 900.0, "Too long a clip.", "...", 1, 1),
    (7, 1, 15.0, 15.0, "No length.", "...", 1, 1),
    (8, 3, 3.0, 50.0, " Gallbladder retraction phase - specimen bag / trocar ", "", 1, 1),
    (8, 1, 600.0, 700.0, "Not surgical.", "", 1, 0),
    (9, 2, 0.0, 60.0, "The video has vanished.", "...", 1, 1),
    (99, 2, 0.0, 60.0, "No such video.", "...", 1, 1),
]
FRAMES = {  # frame: the captions of its second, coarse to fine
    "video_01/frame_0015.jpg": (PHASE, DUCT, HOOK),
    "video_01/frame_0035.jpg": (PHASE, DUCT),
    "video_01/frame_0050.jpg": (PHASE, DUCT),
    "video_01/frame_0200.jpg": (PHASE,),
    "silent video/frame_0010.jpg": ("Gallbladder retraction phase - specimen bag / trocar",),
}


NAMES = {7: "video_01", 8: "silent video", 9: "video_03"}


def seconds() -> set[str]:
    """Names the frames that the clips of the loader's query lead to, counted from 0 at one a second."""
    clips = [row[:4] for row in CAPTIONS if row[0] in NAMES and row[6:] == (1, 1) and 0 < row[3] - row[2] <= 500]
    return {
        f"{NAMES[video]}/frame_{second:04}.jpg"
        for video, _, start, end in clips
        for second in range(math.ceil(start), math.ceil(end))
    }


@lookalike("surglavi")
def surglavi(root: Path) -> LookAlike:
    """aperezr20/SurgLaVi@423edb737284 src/dataloader.py (tables, columns, the query with its bounds and flags),
    src/cc_explore_utils.py (other columns, NULL flags), README.md (data/surglavi_beta.db; frames/video_01/frame_0050.jpg is its
    example's form of a frame).
    Filled in: the rate of one frame a second, frames as JPEG in data/frames/<name>/, types and order of the columns, the tables
    levels and transcriptions, forms of youtube_id. Of the seconds that have a caption most have no frame here, and each is a row
    without a file. No frame stands within a second of a clip's border: the captions are the same if frames count from 1.
    Captions are the clips' texts as they stand (the loader's cleaning is a choice of its model).
    """
    (root / "data").mkdir(parents=True, exist_ok=True)
    base = sqlite3.connect(root / "data/surglavi_beta.db")
    base.executescript(TABLES)
    base.executemany("INSERT INTO levels VALUES (?, ?)", [(1, "task"), (2, "step"), (3, "phase")])
    kind = ("laparoscopic", "cholecystectomy", "general surgery", "human")
    named = [
        (7, NAMES[7], "AAAAAAAAAA1", 25.0, 910.0, 9, *kind),
        (8, NAMES[8], "https://www.youtube.com/watch?v=AAAAAAAAAA2", 29.97, 800.0, 0, *kind),
        (9, NAMES[9], "AAAAAAAAAA3", 30.0, 70.0, 1, *kind),
    ]
    base.executemany(f"INSERT INTO videos VALUES ({','.join('?' * 10)})", named)
    rows = [(number, *row[:4], row[3] - row[2], *row[4:]) for number, row in enumerate(CAPTIONS, 1)]
    base.executemany(f"INSERT INTO captions VALUES ({','.join('?' * 10)})", rows)
    base.commit()
    base.close()
    images = []
    for number, (frame, captions) in enumerate(FRAMES.items()):
        picture(root / "data/frames" / frame, number)
        images.append(Expected(f"data/frames/{frame}", number, captions=captions, group=frame.split("/")[0]))
    told_nothing = ("data/frames/video_01/frame_0450.jpg", "data/frames/silent video/frame_0650.jpg")
    for number, frame in enumerate(told_nothing, 60):
        picture(root / frame, number)
    lost = sorted(f"data/frames/{frame}" for frame in seconds() - FRAMES.keys())
    return LookAlike(tuple(images), (*told_nothing, *lost))
