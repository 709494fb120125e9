// Package wire reads and writes the frames of the AMPS client protocol, with
// our extensions to it. It is the one place where the protocol's format is
// written down; each command's own layout stands at its type.
//
// # Frames
//
//	+------------------+---------------+-----------------+
//	| N: 4 bytes,      | header, text  | body, any bytes |
//	| big-endian       | {"c":"p",…}   | maybe none      |
//	+------------------+---------------+-----------------+
//
// N is the length of header and body together, without itself. A frame of
// N = 0 says nothing and is passed over. The body begins right behind the
// header's closing brace. Only a frame of command sow has more than one
// header, see NextRecord.
//
// # Headers
//
// A header is a flat JSON object. We write the short keys, no blanks, texts in
// quotes, numbers bare, in the order in which each command's type lists its
// keys. Of texts, quote, backslash and the bytes below 0x20 are escaped; bytes
// from 0x80 on are UTF-8 and copied.
//
// We read more than we write: blanks between tokens; keys in any order, also
// by their longer names; keys we don't know, which are passed over; the last
// of a key that is repeated; numbers in quotes, texts without; null, which is
// as absent; every escape of JSON. A header may have 64 KiB, not counting the
// values of bm and gap, which have a part for each publisher. Anything else is
// a *HeaderError, and the connection can't be used further.
//
// # Keys
//
//	c            command                      client_name  name of the client
//	cid          command id                   user_id      user
//	t            topic, or a pattern          pw           password
//	a            acks asked for, or the one   mt           message type
//	s            publisher's sequence         version      of the client or server
//	bm           bookmark, or where to start  status       success, failure, retry
//	filter       content filter               reason       why, or a remark
//	opts         options, see Options         e            lifetime in seconds
//	sub_id       subscription                 x            publisher's own token
//	sids         subscriptions that match     l            length of a record's body
//	query_id     query                        ts           time at which the server took it
//	bs           batch size                   lp           end of a queue lease
//	orderby      order of a query             gseq         number of a batch
//	top_n        how many at most             matches, topic_matches, records_returned,
//	k            SOW key                      records_deleted, records_inserted, records_updated
//	sow_keys     list of SOW keys                          counts of a stats ack
//
// Of these lp, gseq, records_inserted and records_updated are passed over.
//
// # Bookmarks
//
// A bookmark is "publisher|sequence|", both unsigned decimal, of 64 and 63 bits,
// and names a message. No number in a header is above 2^63-1. A subscription's bm is "0" (the start of the log), "0|1|" (only
// what is new), a bookmark, a time YYYYMMDDTHHMMSS[.ffffff][Z], or a comma list
// of these, of which what is earliest in the log counts; what the list covers does
// not come again. See package bookmark.
//
// # Extensions
//
// A client that knows them says "ext":"1" in its logon, a server that knows
// them answers "ext":"1" in the ack of it. Without that answer neither side
// uses any of them. The rules in brackets are those of client/GUARANTEES.md.
//
//	logon          store        the publish store's life, a secret; the publisher is bookmark.OfLife of it (R10)
//	               n            counter of logons, which the store keeps (R11)
//	               acked        highest sequence that the store let go of as persisted (R4)
//	               last         highest sequence that the store has given out (R1)
//	               cluster      of the group that its stores have met, and
//	               incarnation  the highest one of that group that they have seen (R10)
//	               rejected     comma list from-to of sequences above acked that were rejected: a message may
//	                            leave these out, and no others (R1)
//	               sent         highest sequence that may have been sent, if any (R10)
//	               clock        the group's clock that the store keeps for the life, if any (R10)
//	logon ack      s            what is safe: the client lets go up to it (R4)
//	               have         the highest sequence the server has of this publisher (R4)
//	               max          the largest message it takes, in bytes (R14)
//	               catching_up  "true": it opened without its peers (R6)
//	               carried      comma list of the topic patterns that sync links carry; absent: all (G2)
//	               instance     the server's name in its group
//	               peers        comma list of the instances it replicates to synchronously: along these
//	                            links a bookmark subscription moves, and no others (R3)
//	               cluster      the id of its group
//	               incarnation  of the group: how many decrees there were
//	               lost         comma list from-to of sequences that are lost, if the client has not seen the
//	                            incarnation yet (R4)
//	               sync         how it stands to them at the moment: sync, apart, single, catching_up, async,
//	                            alone, stopping; see SyncInSync and the following
//	               clock        the group's clock, if the server did not know the publisher; the store keeps it
//	                            unless what it keeps may have been sent (R10)
//	ack            sync         processed, with success, without cid, at any time after the logon: that has changed
//	persisted ack  level        "single": safe is less, a sync destination is left out (R5)
//	the same of a fully_durable subscription: its messages are held back until they are safe again (R13);
//	without level: they come again
//	batch          publishes of the session's publisher in order, which ask for persisted acks: the body is
//	               records (package record), each behind its length, 4 bytes, little endian; at most as
//	               long as a frame may be (max); it stands for as many publish commands
//	stretch        deliveries of logged messages to the same subscriptions (sids), all of which get their
//	               bookmarks: the body is entries, each the length of what follows of it, 4 bytes, the time
//	               when the server took it (ts), 8 bytes, microseconds, or 0, both little endian, and the record
//	               (package record); the frame is 64 KiB long at most; it stands for as many deliveries
//	subscribe      opts vector  bm is a version vector, a list of one bookmark for each publisher or "0";
//	                            deliver what it doesn't cover (R9)
//	               part, parts, sum  of a vector in parts, see below
//	its acks       bm           processed: the base vector, unless the subscribe had a vector; persisted: what
//	                            of the vector moved (R9)
//	               reason       processed, with success: "not replicated" (R3); persisted: "publisher diverged", from
//	                            bm on (R11), or "publisher closed", of those in bm nothing comes up to there (R10)
//	               gap          "publisher|from|to,…": no longer in the log (R9)
//
// # Vectors in parts
//
// A vector may name any number of publishers. More than 32 KiB of it stand in
// several frames: parts, each a whole number of entries with its number from 1
// (part), and then the command or ack proper, with the last entries, the number
// of parts before it (parts), and a CRC-32C over the values of all frames, one
// after the other as they stand (sum). All have the same cid. So go the vector
// of a subscribe (a part has no topic, options or acks, and no answer), and bm and
// gap of a processed ack (first the parts of bm). Only the last frame has an effect. One
// that does not fit the parts that came is refused, an ack that does not breaks the
// protocol. Of each subscription's acks, and of the subscribes of a session, one
// is put together at a time: a first part begins anew. A server takes up to
// 1,048,576 entries. A progress mark needs none of this: several of them say the same.
//
// # Acks of a session
//
// An ack "processed" without cid, "failure", with reason "publish gap" or "name
// in use", is about the whole session, which the server then closes (R4, R11).
// One "processed" without cid, "success", only tells sync, the latest value and
// no more often than each second; who does not know the key ignores it.
package wire
