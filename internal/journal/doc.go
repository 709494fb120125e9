// Package journal keeps the transaction log of one instance: all records from publishers and
// links, in one order. Each identity is there at most once (G3), and the records of each
// publisher are in sequence order without holes (G4).
//
// A record is admitted (R1), added to a segmented log in memory, and applied to a table
// with the state of each publisher. One goroutine, the syncer, makes the log durable in
// groups: while the disk works on one group the next one forms, without timers. After an
// fsync the syncer notifies the owner, and the records that the fsync covered become
// visible to followers that read durable records only.
//
// The table is derived from the log, by the same code live and when the journal is opened.
// Each segment but the first begins with a snapshot of the table, so Open normally replays the
// last segment only. It also reads the rest of the newest 32 MB, because the content sums of
// these records must be known (R11). Older records are verified when they are read (package
// seglog).
//
// # Records on disk
//
// A log record (see package seglog) of kind 0x10 to 0x14 holds a Record. Its payload is 8
// bytes of local time, then the record (package record), which goes over links unchanged.
// The time is when this instance took the record, in microseconds since the Unix epoch. The
// log record has the kind of the record. All numbers are little-endian.
//
// The check distinguishes publishers with the same id (package bookmark). It is in the first
// record of a publisher, so that both become durable together, and in heads. A link adds it
// to the first record that it sends of a publisher, if the peer does not know the publisher.
//
// The owner of a publisher is the user of its first record that has one. So the owner follows
// from the publisher's records, and is the same on every instance. It is in heads, where it
// outlives that record, and is forgotten with the publisher.
//
// # State records
//
// A log record of kind 0x20 changes the table only and never crosses a link. Its payload is
// the local time (8), one byte with its type, and
//
//	1  floors: count, then per publisher its id (8 bytes) and its floor
//	2  a degraded interval: length and name of the destination, begin and end
//	   (8 each, microseconds; end 0: still going on), count of ranges, then for
//	   each its publisher (8 bytes), first and last sequence
//	3  forgotten publishers: count, then their ids (8 bytes)
//	4  the age of the log (8)
//	5  a remembered peer: length and name, flags (1 byte): 1 it replicates here,
//	   2 its acks wait for this instance's disk
//	6  diverged publishers (R11): count, then per publisher its id (8 bytes) and
//	   the first sequence that is not proven equal on all instances
//	7  the cluster: its id (16), flags (1 byte): 1 this journal has made the id,
//	   2 this journal is intact
//	8  a decree: incarnation, id (8), count of members, then length and name of
//	   each, count of the lost instances, then length and name of each, wall-clock
//	   time (8), age of the log when it was made (8), 1 if it has ended (1)
//	0x88  publishers that have used the decree: count, then their ids (8 bytes)
//	9  the group's clock, the Forgotten clock, the age of the log (8); the
//	   Forgotten clock is above the clock at which any forgotten publisher was
//	   last seen
//	0x89  closed publishers: count, then per publisher its id (8 bytes) and its have
//	10  owners that a peer has stated, of publishers that had none here: count, then
//	   per publisher its id (8 bytes), length (1 to 1,024) and owner
//
// Counts and numbers without a stated length are unsigned varints.
//
// # Heads and summaries
//
// The head of a segment is the whole table as it was before the segment's first record:
//
//	"hfsjournal", version 3 (1 byte), newest time (8), age of the log (8),
//	count of peers and these,
//	count of intervals and these,
//	count of tombstone reasons and these (length, bytes),
//	count of topics and these (length, bytes),
//	count of owners and these (length from 1 to 1,024, bytes),
//	count of publishers, then for each, ordered by id:
//	  id (8), check (16; 0: not known), have, floor, running CRC (4), the group's
//	  clock when last seen (8), the sequence at which it was closed (0: never),
//	  the group's clock when that was found,
//	  count of topics, then for each its number (from 1; 0: any; 2^32-1: those that
//	  links leave out) and by how much its highest sequence is below have,
//	  the number of its owner (from 1; 0: none),
//	  count of holes, then for each its first and last sequence and its cause (1),
//	  count of tombstones, then for each its distance from the one before it and
//	  the index of its reason,
//	the cluster (17),
//	diverged publishers, as in their state record,
//	count of publishers whose running CRC is not known, and their ids (8),
//	0, or 1, the decree, and the publishers that have used it, as above,
//	the group's clock, the Forgotten clock, the age of the log when the group's
//	clock rose last (8)
//
// The summary at the end of a sealed segment describes its records:
//
//	version 3 (1 byte), first and last time (8 each; 0: no records), age of the
//	log when the segment was sealed (8), position after the last record (8),
//	count of publishers, then for each, ordered by id:
//	  id (8), highest sequence
//	outline: count of extents, which are consecutive, then for each:
//	  distance of its first record from the first record of the previous extent (of
//	  the first extent: its position), count of publishers with records in it,
//	  then for each its index in the list above and by how much its highest
//	  sequence here is below the one there
//	distance of the first record that is in no extent from the first record of
//	the last extent; left out if there are no extents
//
// The age of the log is the time for which processes had it open, in microseconds by the
// monotonic clock. Retention uses it, because the wall clock can be set. When a process dies,
// the time since its last note of the age is lost.
//
// # CRCs
//
// The sum of a message's content is part of its record. The running CRC of a publisher (R11)
// is chained over (previous value, sequence, sum) of its messages of carried topics,
// where a sum below 3 counts as 3. Both are the same on every instance.
package journal
