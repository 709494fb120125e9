// Package seglog is an append-only record log in the files of one directory.
//
// After a crash [Open] restores every record that was synced, in order, and never a record that
// was not appended. If the disk has lost or changed a synced record, Open says so with a typed
// error. The promises behind this are R7 and R8 in client/GUARANTEES.md.
//
// # Positions
//
// A [Position] counts the bytes of record frames since the log began. Headers, heads, summaries
// and footers do not count, so the first position of a segment is the end position of its
// predecessor.
//
// # Files
//
// The directory itself is locked while a log in it is open. (On Windows a file "lock" in it is
// locked.) All files are regular files; links are not followed. A length that was read from a
// file is not trusted before the checksum of the bytes that it covers has been verified.
//
//	0000000000000000.log    a segment, named by its first position in hex
//	0000000000000000.tmp    an unfinished file, like cut.tmp; removed when the log is opened
//	0000000000000000.bad    a damage flag: a reader found damage in that segment; Open checks it
//	cut                     a cut before damage that must be finished (aside.go)
//	stage                   appended records that are not yet written to a segment
//	reserve                 reserves space that opening the log on a full disk can use (reserve.go)
//	aside/                  good records from after the damage
//	*.unknown               a file with a header that is not ours, or an unreadable segment,
//	                        renamed because it was in the way of the log; never removed
//
// # Versions
//
// Each file begins with a block of 64 bytes: the magic at byte 0, the version at byte 8, and a
// checksum at the end. The version in the header of a segment also covers its frames, summary
// and footer. A later version of this package keeps magic, version and checksum where they are.
// It increments the version if it changes anything that an older version would take for damage
// or would ignore. The same rule applies to the head of the owner. [Open] and [Inspect] look at
// all files first and refuse a later version with a [fileversion.VersionError] before they change
// anything.
//
// # Segment, version 1
//
// Numbers are little endian. Checksums are CRC-32C.
//
//	0      header, 64 bytes
//	4096   a copy of the header, so that one bad sector does not cost a segment
//	4160   head: the owner's state before the first record, may be empty
//	       zeros to a multiple of 8
//	data   record frames, each at a multiple of 8
//	       zeros to the end of the preallocated space
//
// Header:
//
//	0   8  "hfseglog"
//	8   4  version, 1
//	12  4  salt: a random number that is part of each frame's checksum
//	16  8  first position
//	24  8  position up to which the log was durable when the segment was made;
//	       lowered if the log is cut at an earlier position
//	32  4  length of the head
//	36  4  checksum of the head
//	40  20 zero
//	60  4  checksum of the preceding 60 bytes
//
// Frame:
//
//	0   4  checksum of bytes 4 to 15 and of the payload's prefix; its initial value is
//	       the salt xor the upper half of position × 0x9e3779b97f4a7c15
//	4   4  length of the payload
//	8   1  kind; kinds below 0x10 are seglog's own, 0 is not used
//	9   1  zero
//	10  2  length of the payload's prefix: the bytes that the first checksum covers
//	12  4  checksum of the rest of the payload
//	16     payload
//	       zeros to a multiple of 8
//
// The position in the checksum makes a copied frame or a stale sector invalid. The salt does the
// same for old content of another file and for a payload that imitates a frame. The rest of the
// payload has its own checksum because the owner may have computed it long before: Append then
// does not read these bytes a second time.
//
// Kind 1 is a note. Its payload (8 bytes) is the position up to which the log was durable when
// the note was written. Each written batch begins with a note.
//
// In a sealed segment the last frame is followed by
//
//	summary, as the owner made it, may be empty
//	footer, 64 bytes, the end of the file
//
// Footer:
//
//	0   8  "hfsegend"
//	8   4  version, 1
//	12  4  length of the summary
//	16  8  first position
//	24  8  end position
//	32  4  checksum of the summary
//	36  24 zero
//	60  4  checksum of the preceding 60 bytes
//
// A footer is written after all frames were synced, so it also counts as a note of its end
// position. A segment ends at the first position of the next one; anything in its file after
// that is ignored.
//
// # Set aside
//
// The files in aside are segments too. They have their own positions, beginning at 0, and no
// footer: the durable position in the header is the end. Their head describes the damage:
//
//	0   8  offset in the file
//	8   8  position in the log
//	16  4  length of the file's name
//	20     name of the file, then the reason
//
// The file cut:
//
//	0   8  "hfsegcut"
//	8   4  version, 1
//	12  4  zero
//	16  8  position at which the log ends
//	24  8  first position of the file in aside that has the records from after the damage
//	32  28 zero
//	60  4  checksum of the preceding 60 bytes
//
// Segments that begin at or after the position at which the log ends are deleted. The oldest
// segment stays if it begins exactly there and has a readable head: that head is the only record
// of the trimmed history.
//
// # Stage
//
// A write at the end of a file costs about a microsecond, a copy to a mapped page a few
// nanoseconds. If each record must survive the death of the process immediately ([Log.Keep]),
// its frame is copied to the stage, and one later write puts many frames into their segment.
// Once all appended records are written, the stage starts over at its first entry. The stage is
// never synced: a power cut loses unsynced records, staged or not.
//
//	0   8  "hfsstage"
//	8   4  version, 1
//	12  4  salt, a new one each time the log is opened
//	16  44 zero
//	60  4  checksum of the preceding 60 bytes
//	64     entries
//
// Entry:
//
//	0   4  checksum of bytes 4 to 31, the last 8 of which belong to the frame; its initial
//	       value is the salt of the stage
//	4   4  salt of the segment that the frame belongs to
//	8   8  end position of the previous record
//	16  8  position of the frame
//	24     frame, as it is in the segment
//
// [Open] takes entries from the start of the stage as long as each one is good, follows its
// predecessor, and belongs to the last segment. (A record of a segment that has no file yet is
// never staged; it is written.) Open writes their frames to their places in the segment, with
// notes between them where notes were. Then it opens the log as if the dead process had written
// the frames itself. Doing this twice changes nothing.
//
// # Order of steps
//
// A segment is made under a temporary name and synced. Then it is renamed, and the directory is
// synced. Before it takes records, its predecessor is synced and sealed. So only the last
// segment can hold records that are not durable.
//
// In a segment before the last, [Open] normally reads only the parts before and after the
// records. It reads the records too if the segment is flagged, lacks its footer, or is needed
// to rebuild a bad head. Otherwise a record is checked when it is read: the reader gets the
// error, and the segment is flagged.
//
// A head can be rebuilt from the last good head before it and the records in between; the head
// at position 0 is empty. [Open] rebuilds bad heads and rewrites their segments. It looks at the
// heads of flagged segments and of the newest 32 MiB. Only the head of the oldest segment cannot
// be rebuilt once records before it were removed. Open does without it as long as another head
// is good.
//
// [Open] uses the highest note that it finds. The first bad frame at or above it begins a torn
// tail, which is cut off. A bad frame below it is damage. Ranges that the file system reports as
// never written are taken as zeros and not read.
//
// The records between the note and the cut may be in the page cache only. Open therefore writes
// them again, to a fresh segment that begins at the note, and seals the old segment there: only
// an fsync of this process makes a record durable (R7).
package seglog
