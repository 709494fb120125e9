// Package replica links an instance with its peers: each sends the other what
// it has and the other has not, and learns how far the other's disk has it.
// From that follow the two watermarks that acknowledgements are made of.
//
// The rules are R2, R3, R4 (decrees), R5, R6, R8, R11, R14 and R15 of client/GUARANTEES.md.
// What decides is in files without goroutines, clocks or sockets: Watermarks,
// Progress, AckState, Link, Rejoin. The rest of the package runs them.
//
// # The link's bytes
//
// A link is one TCP connection that serves both directions. Either side may
// have dialled; once each has proven itself both behave alike. All of it is frames:
//
//	length  uint32, big endian: bytes of the payload
//	crc     uint32, big endian: CRC-32C of the payload
//	payload a sequence of msgpack values: the frame's type, then its fields
//
// A payload is at most the largest record plus 2 MiB; of states at most 1 MiB + 64 KiB,
// of a hello 64 KiB, before the peer has proven itself 256 bytes. Fields that follow
// the ones a reader knows are skipped.
//
//	 1 hello      name, run, group, digest, outbound, sync, topics (nil: all), damaged,
//	              cluster id (16 bytes; none: 0), whether the journal is empty, intact,
//	              what running CRCs are made of, decree, the group's clock, the newest
//	              forgotten (R10)
//	 2 states     last, array of publisher, check, have, durable, floor, running CRC,
//	              diverged (0: not), closing (R10)
//	 3 records    journal records as they are, each behind its length (package record), to the end of the payload
//	 4 ack        array of publisher, durable
//	 5 notice     id, client name, user, publisher, check, counter, instance
//	 6 answer     id, have, whether the name is refused, the publisher is another, the logon has lost,
//	              intact, the publisher has made use of the decree, the group's clock, the
//	              newest forgotten
//	 7 heartbeat  damaged, more, array of publisher, have, running CRC, the group's clock,
//	              the newest forgotten, the wall clock (microseconds)
//	 8 refuse     code, reason
//	 9 open       version, nonce (32 bytes)
//	10 proof      HMAC-SHA-256 (32 bytes)
//	11 diverged   array of publisher, first sequence that is not proven equal
//	12 decree     number, 0 (would you object?) or 1 (take it), decree;
//	              number, 2 (answer), what is against it
//	13 closing    array of publisher, have: the sender may forget these;
//	              1 if places can do without them there (R10)
//	15 stopping   0: the sender runs (the answer of one that does), 1: it stops, and its
//	              sessions wait for acks, 2: none of them does any more
//
// A decree is its incarnation, id, arrays of members and of the lost, time and for how
// long it has stood (microseconds), and whether it has ended.
//
// Each side sends open, proof, hello, proof, then as many states as it needs, the last
// one marked, and each waits for the other where it must not go first:
//
//	dialler    open              proof hello proof                     states
//	dialled         open proof                       hello proof states
//
// A proof is keyed with the link secret, of no bytes if there is none. It covers
// "holdfast link proof\n", the role (0: the dialler's, 1), the number of hellos said
// before, the dialler's nonce, the other nonce, and the SHA-256 of these hellos'
// payloads, the dialler's first. So before the other side has proven that it knows the
// secret, nothing is sent but version, nonce and proof, and no state before its hello
// was accepted. What follows is neither encrypted nor protected against changes.
//
// A journal that is empty and has no cluster id takes over the other's before its side
// says anything more. If neither has one, the instance makes it that knows no smaller
// name. If it has dialled, it then closes (crossed) and says the id in its next hello.
//
// outbound says that the side sends records on this link, sync which
// acks it takes for them; both are true or false for each direction by itself.
// A running CRC of 0 is not compared. A side that finds a publisher with two contents,
// or two publishers with one id, notes it in its journal, then sends diverged; so does a
// side to which that was news. Nothing more of it is sent, and what still comes is passed over.
// A side that finds something wrong sends refuse and closes:
//
//	1 crossed   another connection of the two stays; nothing is wrong
//	2 hello     not a peer: version, name, group, digest or topics
//	3 record    a hole, or a record that does not decode (R1, R2)
//	5 stranger  the peer has not proven itself; without a reason
//	6 cluster   a journal of another group
//	7 incarnation the peer had no part in our decree (R4, R10)
//
// The first record of a publisher that goes to a peer without that publisher
// brings the check along, unless nobody here knows it. Records and markers (R2: gone, R3: elsewhere) are journal records alike. A
// heartbeat comes every interval, busy or idle; four intervals without a byte
// mean that the link is lost. It brings the running CRCs of publishers that
// moved since the last one; more says that there were more than it holds.
package replica

// protocolVersion is what open says; peers of another one are refused.
const protocolVersion = 2
