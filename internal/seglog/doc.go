// Package seglog keeps records in order in files of a directory and brings
// them back: all that was synced, never anything that was not appended, and
// with a clear word where the disk broke its promise (client/GUARANTEES.md R7, R8).
//
// # Positions
//
// A [Position] counts the bytes of record frames since the log began. Headers,
// heads, summaries and footers don't count: a segment's first position is the
// one its predecessor ends at.
//
// # Files
//
// The directory itself is locked while a log in it is open (on Windows: a file
// "lock" in it). All are regular files: links are not followed. No length that
// stands in a file is believed before what it is the length of has been summed.
//
//	0000000000000000.log    a segment, named by its first position in hex
//	0000000000000000.tmp    unfinished, as is cut.tmp; removed when the log is opened
//	0000000000000000.bad    a reader met damage in that segment: check it when opening
//	cut                     a cut before damage that must be finished (aside.go)
//	stage                   what was appended and not yet written to a segment
//	aside/                  good records from behind damage
//	*.unknown               a file that stood in the way of the log and whose header
//	                        is not ours, of a segment that can't be read; never removed
//
// # Versions
//
// Each file begins with 64 bytes: its magic, at byte 8 its version, at the end
// their checksum. The header of a segment speaks for its frames, summary and
// footer too. A later version keeps these where they are. If it changes anything that an older one would
// take for damage or leave out, it counts the version up, and the same in the
// head of its owner. [Open] and [Inspect] look at all of them first, and refuse
// a later version as a [format.VersionError] before anything is changed.
//
// # Segment, version 1
//
// Numbers are little endian, checksums CRC-32C.
//
//	0      header, 64 bytes
//	4096   the same header again, so that one bad sector doesn't cost a segment
//	4160   head: the owner's state before the first record, may be empty
//	       zeros to a multiple of 8
//	data   record frames, each at a multiple of 8
//	       zeros, as far as the file was preallocated
//
// Header:
//
//	0   8  "hfseglog"
//	8   4  version, 1
//	12  4  salt: where each frame's checksum starts
//	16  8  first position
//	24  8  position up to which the log was durable when the segment was made;
//	       lowered when the log is cut before it
//	32  4  length of the head
//	36  4  checksum of the head
//	40  20 zero
//	60  4  checksum of the 60 bytes before
//
// Frame:
//
//	0   4  checksum of what follows it here and of the head, begun at the salt, which
//	       is combined by xor with the upper half of position × 0x9e3779b97f4a7c15
//	4   4  length of the payload
//	8   1  kind; below 0x10 seglog's own, 0 never
//	9   1  zero
//	10  2  length of the head: so much of the payload stands under the checksum above
//	12  4  checksum of the rest of the payload
//	16     payload
//	       zeros to a multiple of 8
//
// The position in the checksum makes a copy or a stale sector invalid, the
// salt whatever another file held before, or a payload pretends to be. The rest has a
// checksum of its own, which an owner may have made long before: what it vouches for
// is not summed again when it is appended.
//
// Kind 1 is a note, its payload the position (8 bytes) up to which the log was
// durable when the note was written. One stands before each batch written.
//
// A sealed segment ends behind its last frame in
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
//	60  4  checksum of the 60 bytes before
//
// A footer is written after all frames were synced, so it is a note of its end
// position. A segment ends where the next one begins, whatever stands behind.
//
// # Set aside
//
// Files in aside are segments too, in positions of their own that begin at 0,
// without footer: the header's durable position is the end. Their head says
// what was damaged:
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
//	24  8  first position of the file in aside that holds what stood behind
//	32  28 zero
//	60  4  checksum of the 60 bytes before
//
// Files at or behind the position go, but for the oldest if it begins there: its
// head, if it can be read, is all that is known of what was removed before it.
//
// # Stage
//
// A write at the end of a file costs about a microsecond, a copy to a mapped
// page a few nanoseconds. Where each record is to survive the death of the
// process at once ([Log.Keep]), frames are copied to the stage, and one write
// brings many of them to their segment. When all that was appended is written
// the stage begins again at its first entry. It is never synced: a power cut
// takes what was not synced, staged or not.
//
//	0   8  "hfsstage"
//	8   4  version, 1
//	12  4  salt, another one each time the log is opened
//	16  44 zero
//	60  4  checksum of the 60 bytes before
//	64     entries
//
// Entry:
//
//	0   4  checksum of the 28 bytes behind it and of the first 8 of the frame, begun at salt
//	4   4  salt of the segment that the frame belongs to
//	8   8  position behind the record before
//	16  8  position of the frame
//	24     frame, as it is in the segment
//
// [Open] takes entries for as long as each is good and follows the one before,
// of the last segment only: a record of a segment that has no file yet is not
// staged but written. Their frames go to where they belong, with notes between
// them where there were some, and then the log is opened as if its process had
// written them itself. To do so again changes nothing.
//
// # Order of steps
//
// A segment is made under a temporary name, synced, renamed, its directory
// synced. Before it takes records its predecessor has been synced and sealed,
// so only the last segment holds anything that may not be durable.
//
// Of a segment before the last [Open] reads what stands before and behind the
// records, not these, unless it is marked bad, lacks its footer, or is needed
// for a bad head: each record is checked when it is read, damage is then told
// to who reads, and marked.
//
// A head is what the records before it amount to, from the last good one on;
// before position 0 there is nothing. [Open] makes a bad one again, and writes
// its segment again with it: that of any segment that is marked, or of the
// newest 32 MB. Only that of the oldest segment is lost, once something was
// removed before it. Open does without while another one is good.
//
// [Open] takes the highest note there is. The first bad place at or above it
// is a torn tail: what stands from there on is cut off. Below it, it is damage.
// Of what the file system says was preallocated only, a hole, it believes that
// it is zeros and does not read it.
// What lies between the note and the cut may be in the page cache only, so it
// is written again to a fresh segment that begins at the note; the old one is
// then sealed there (R7).
package seglog
