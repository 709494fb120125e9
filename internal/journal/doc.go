// Package journal keeps one instance's transaction log: every record it took
// from publishers and links, in one order, each identity at most once (G3),
// each publisher's in sequence order without holes (G4).
//
// A record is admitted (R1), added to a segmented log in memory, and applied
// to a table that knows for each publisher what the journal has. One goroutine,
// the syncer, makes the log durable in groups: while the disk works on one
// group the next one forms, without timers. What an fsync covered is told to
// the owner and, from then on, visible to followers that read what is durable.
//
// The log is the truth. The table is made of it by the same apply, live and
// when the journal is opened; at the head of each segment stands a snapshot of
// it, so that opening reads the last segment only, and of those before it what
// belongs to the newest 32 MB, whose contents are to be known (R11). What is
// older is checked when somebody reads it (package seglog).
//
// # Records on disk
//
// A log record (see package seglog) of kind 0x10 to 0x14 holds a Record. Its
// payload is 8 bytes of local time, microseconds since the Unix epoch when this
// instance took it, then the record (package record), which goes over links unchanged.
// Its kind is also that of the log record. All numbers are little-endian.
//
// The check tells publishers with one id apart (package bookmark). It stands in
// the first record of a publisher, so that both become durable together, and in
// heads. A link adds it to the first record of a publisher that it sends to a
// peer without that publisher.
//
// # State records
//
// A log record of kind 0x20 changes the table only and never crosses a link.
// Its payload is the local time, one byte that says what it is, and
//
//	1  floors: count, then per publisher its id (8 bytes) and its floor
//	2  a degraded interval: length and name of the destination, begin and end
//	   (8 each, microseconds; end 0: still going on), count of ranges, then for
//	   each its publisher (8 bytes), first and last sequence
//	3  publishers that retention has let go of: count, then their ids (8 bytes)
//	4  the age of the log (8)
//	5  a peer that is remembered: length and name, flags (1 byte): 1 it replicates
//	   here, 2 and its acks wait for that
//	6  diverged publishers (R11): count, then per publisher its id (8 bytes) and
//	   the first sequence that is not proven equal on all instances
//	7  the cluster: its id (16), flags (1 byte): 1 this journal has made the id, 2 it is
//	   intact
//	8  a decree: incarnation, id (8), count of members and these (length, bytes),
//	   count of the lost and these, wall-clock time (8), age of the log when it was
//	   made (8), 1 if it has ended (1)
//	0x88  publishers that have made use of the decree: count, then their ids (8 bytes)
//	9  the group's clock, the newest forgotten, the age of the log (8)
//	0x89 closed publishers: count, then per publisher its id (8 bytes) and its have
//
// where counts and numbers of no stated length are unsigned varints.
//
// # Heads and summaries
//
// The head of a segment is the whole table as it was before the segment's
// first record:
//
//	"hfsjournal", version 3 (1 byte), newest time (8), age of the log (8),
//	count of peers and these,
//	count of intervals and these,
//	count of tombstone reasons and these (length, bytes),
//	count of topics and these (length, bytes),
//	count of publishers, then for each, ordered by id:
//	  id (8), check (16; 0: not known), have, floor, running CRC (4), the group's
//	  clock when last seen (8),
//	  count of topics, then for each its number (from 1; 0: any; 2^32-1: those that
//	  links leave out) and by how much its highest sequence is below have,
//	  count of holes, then for each its first and last sequence and its cause (1),
//	  count of tombstones, then for each its distance from the one before it and
//	  the index of its reason,
//	the cluster (17),
//	diverged publishers, as in their state record,
//	count of publishers whose running CRC is not known, and their ids (8),
//	0, or 1, the decree, and the publishers that have made use of it, as above,
//	the group's clock, the newest forgotten, the age of the log when that clock
//	has risen last (8)
//
// The summary at the end of a sealed segment says what stands in it:
//
//	version 3 (1 byte), first and last time (8 each; 0: no records), age of the
//	log when the segment was sealed (8), position behind the last record (8),
//	count of publishers, then for each, ordered by id:
//	  id (8), highest sequence
//	outline: count of stretches, then for each, one behind the other:
//	  how far its first record stands behind that of the one before (of the
//	  first stretch: its position), count of publishers that stand in it, then
//	  for each its index in the list above and by how much its highest sequence
//	  here is below the one there
//	how far behind the last stretch's first record the first one stands that is
//	in none; left out if there are no stretches
//
// The age of the log is for how many microseconds processes had it open, by the
// monotonic clock. Retention counts by it, since the wall clock can be set.
// What a process has not noted when it dies is not counted.
//
// # CRCs
//
// The sum of a message's content is part of its record. The running CRC of
// a publisher (R11) is chained over (previous value, sequence, sum, at least 3) of
// its messages of carried topics. Both are the same on every instance.
package journal
