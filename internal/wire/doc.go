// Package wire reads and writes the frames of the AMPS client protocol, with our extensions to
// it. It is the only place that defines the format of the protocol. The type of each command
// documents the layout of that command.
//
// # Frames
//
//	+------------------+---------------+-----------------+
//	| N: 4 bytes,      | header, text  | body, any bytes |
//	| big-endian       | {"c":"p",…}   | maybe none      |
//	+------------------+---------------+-----------------+
//
// N is the length of header and body together, without the 4 bytes of N. A reader skips a frame
// with N = 0. The body begins right after the closing brace of the header. Only a frame with
// the command sow has more than one header, see NextRecord.
//
// # Headers
//
// A header is a flat JSON object. We write short keys, no blanks, texts in quotes, and numbers
// without quotes. The keys come in the order that the type of the command lists. In texts we
// escape the quote, the backslash and the bytes below 0x20. Bytes from 0x80 on are UTF-8 and
// are copied.
//
// We read more than we write:
//
//   - blanks between tokens
//   - keys in any order, and their longer names
//   - unknown keys, which are skipped
//   - a repeated key, of which the last one counts
//   - numbers in quotes, and texts without quotes
//   - null, which means that the key is absent
//   - every escape of JSON
//
// A header may be 64 KiB long. The values of bm and gap do not count, because they have an entry
// for each publisher. Anything else is a *HeaderError, and the connection cannot be used any
// more.
//
// # Keys
//
//	c            command                      client_name  name of the client
//	cid          command id                   user_id      user
//	t            topic, or a pattern          pw           password
//	a            acks asked for, or the one   mt           message type
//	s            publisher's sequence         version      of the client or server
//	bm           bookmark, or start           status       success, failure, retry
//	filter       content filter               reason       of a failure, or a remark
//	opts         options, see Options         e            lifetime in seconds
//	sub_id       subscription                 x            publisher's own token
//	sids         subscriptions that match     l            length of a record's body
//	query_id     query                        ts           time at which the server took it
//	bs           batch size                   lp           end of a queue lease
//	orderby      order of a query             gseq         number of a batch
//	top_n        largest number of results    matches, topic_matches, records_returned,
//	k            SOW key                      records_deleted, records_inserted, records_updated
//	sow_keys     list of SOW keys                          counts of a stats ack
//
// A reader skips lp, gseq, records_inserted and records_updated.
//
// # Bookmarks
//
// A bookmark, "publisher|sequence|", names a message. Both numbers are unsigned decimal. The
// publisher has 64 bits, the sequence 63 bits. No other number in a header is above 2^63-1.
//
// The bm of a subscribe is the start of the subscription:
//
//   - "0", the start of the log
//   - "0|1|", only new messages
//   - a bookmark
//   - a time, YYYYMMDDTHHMMSS[.ffffff][Z]
//   - a comma list of these: the replay starts at the item that is earliest in the log, and leaves
//     out the messages that the list covers
//
// See package bookmark.
//
// # Extensions
//
// A client that supports the extensions has "ext":"1" in its logon, and a server that supports
// them has "ext":"1" in its logon ack. Without that ack neither side uses any of them. The
// numbers in parentheses are the rules in client/GUARANTEES.md.
//
//	logon          store        the life of the publish store, a secret; bookmark.IdentityOfLife returns
//	                            its publisher (R10)
//	               n            logon counter, which the store keeps (R11)
//	               acked        highest sequence that the store let go of as persisted (R4)
//	               last         highest sequence that the store has given out (R1)
//	               cluster      id of the group that the client's stores have met (R10)
//	               incarnation  highest incarnation of that group that they have met (R10)
//	               rejected     comma list from-to of the rejected sequences above acked: a message may
//	                            leave these out, and no others (R1)
//	               sent         highest sequence that may have been sent, if any (R10)
//	               clock        the group's clock that the store keeps for the life, if any (R10)
//	logon ack      s            safe(p): the client lets go of its messages up to it (R4)
//	               have         have(p): highest sequence of this publisher at the server (R4)
//	               max          the largest message that the server takes, in bytes (R14)
//	               catching_up  "true": the server serves without having caught up (R6)
//	               carried      comma list of the topic patterns that sync links carry; absent: all (G2)
//	               instance     name of the server in its group
//	               peers        comma list of the instances to which it replicates synchronously; a
//	                            bookmark subscription moves only along these links (R3)
//	               cluster      id of the server's group
//	               incarnation  incarnation of the group: its number of decrees (R4)
//	               lost         comma list from-to of lost sequences, if the client has not met this
//	                            incarnation yet (R4)
//	               sync         sync status of the server: sync, apart, single, catching_up, async,
//	                            one_way, alone, stopping; see package syncstatus (R5)
//	               clock        the group's clock, if the server did not know the publisher; the store
//	                            keeps it, unless it keeps messages that may have been sent (R10)
//	ack            sync         in a processed ack with success and without cid, at any time after the
//	                            logon: the sync status has changed
//	persisted ack  level        "single": the server does not wait for a sync destination, so safe(p)
//	                            may be less (R5)
//	                            of a fully_durable subscription: "single" says that the server holds
//	                            its messages back until they are safe again, and an ack without level
//	                            says that they flow again (R13)
//	publish        headers      the application's headers of the message, as in a record (package
//	its delivery                record), in base-64. They are part of the content (R11).
//	               x            any bytes. A client without extensions gets a token only if it is
//	                            visible ASCII without quotes and backslashes.
//	batch                       publishes of the session's publisher, in order, that ask for persisted
//	                            acks. The body is a sequence of records (package record), each after
//	                            its length, 4 bytes, little endian. The frame is at most as long as max
//	                            allows. It has the same effect as one command for each publish.
//	stretch                     deliveries of logged messages to the same subscriptions (sids), all of
//	                            which get bookmarks. The body is a sequence of entries. An entry is the
//	                            length of its rest, 4 bytes; the time at which the server took the
//	                            message (ts), 8 bytes, in microseconds, or 0; and the record (package
//	                            record). The numbers are little endian. The frame has at most 64 KiB.
//	                            It has the same effect as one frame for each delivery.
//	subscribe      opts vector  bm is a version vector: a list with one bookmark for each publisher, or
//	                            "0". The server delivers all messages that it does not cover (R9).
//	               part, parts, sum  of a vector in parts, see below
//	its acks       bm           processed: the base, unless the subscribe had a vector (R9)
//	                            persisted: the part of the vector that moved (R9)
//	               reason       processed, with success: "not replicated" (R3)
//	                            persisted: "publisher diverged", from the sequence in bm on (R11), or
//	                            "publisher closed": the publishers in bm send nothing at or below their
//	                            sequences there any more (R10)
//	               gap          "publisher|from|to,…": sequences that the log no longer has (R9)
//
// # Vectors in parts
//
// A vector may have any number of publishers. A vector longer than 32 KiB is split over several
// frames. The first frames are the parts. Each part has a whole number of entries, and its own
// number from 1 (part). The last frame is the command or ack itself. It has the last entries,
// the number of parts before it (parts), and a CRC-32C over the values of all frames in their
// order (sum). All frames have the same cid.
//
// The vector of a subscribe is split in this way, and so are bm and gap of a processed ack, bm
// first. A part of a subscribe has no topic, options or acks, and gets no answer. Only the last
// frame has an effect. The server refuses a subscribe that does not fit the parts before it. An
// ack that does not fit its parts breaks the protocol.
//
// A receiver assembles one text at a time for the acks of each subscription, and one for the
// subscribes of each session. A part with the number 1 discards the parts before it. A server
// takes up to 1,048,576 entries. A progress mark is not split: several marks have the same
// effect as a long one.
//
// # Acks of a session
//
// A processed ack without cid and with status failure concerns the whole session. Its reason is,
// for example, "publish gap" (R4), "disk full" (R7) or "name in use" (R11). The server then
// closes the session. A processed ack without cid and with status success only reports the
// latest sync status, at most once a second. A client that does not know the key sync ignores
// it.
package wire
