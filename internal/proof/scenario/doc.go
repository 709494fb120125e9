// Package scenario tells the hard cases of the guarantees (client/GUARANTEES.md)
// as documents, in testdata, that its test carries out: with the real client,
// stores and servers, on a network and on disks in memory, in virtual time.
//
// A document is made of blocks: commands, one a line, then "----" and what they
// print (github.com/cockroachdb/datadriven). It prints facts only, when nothing
// moves any more, so that it is the same in every run:
//
//	go test ./internal/proof/scenario            # compares
//	go test ./internal/proof/scenario -rewrite   # writes what is printed; read the difference
//
// A message is named after its publisher and numbered: "pub 1..5 7" are six
// messages of pub, in this order. Each command ends when everything that can
// happen without time passing has happened.
//
// # Instances
//
//	servers A B [downgrade-after=1s] [rejoin-timeout=2s] [retain=1m] [hold=1MiB] [segment=64KiB]
//	        [max-message=64KiB] [log=^orders$] [carry=^shared$] [third=C] [as=X,Y]
//	                       a pair that replicates synchronously; both feed C asynchronously;
//	                       as: their names, which are those of the hosts A and B otherwise
//	config A ...           the same options for a dead one, all of them anew
//	config B forgets=A     and B does not replicate to A any more; knows=A: again
//	kill A B               as kill -9; shutdown A: in order
//	powercut A [keeps=nothing|torn|hole|garbage|zeros] [seed=1]   what the disk keeps of what was not synced
//	wipe A, start A        an empty disk; a new process
//	met A B                the empty disk of a dead one is that of one that has met B's group and got nothing yet
//	dials A C              a dead one looks for its peer at C from its next start on
//	stop A, cont A         as SIGSTOP and SIGCONT
//	clock A 240h           its wall clock is so far ahead from now on; 0s: it is right
//	slow-disk A 1s         what an fsync takes
//	fail-disk A full|write|half|sync     the next one fails
//	die-at A 1             the machine stops before that change of its disk; kill or powercut goes with it
//	damage A pub-17        a bit of that record (a message with a size) is flipped
//	lost C A B [end=yes]   an operator declares at C that A and B will not return, and what nobody has lost; end: no more
//	newer A B, known A B   dead ones' journals are of a format that is too new for holdfastd; and of its own again
//	proxy near A acks=twice|late|beyond  a host between clients and A
//
// # Network
//
//	partition A B C        A is cut off from B and C; heal A B C
//	cut A to B             one way; heal A B
//	forge A as=pub number=7 [topic=orders] [acked=0] [last=0] [takes]    a client with pub's life logs on to A and
//	                       publishes once, and is answered; takes: even if pub has a session
//	forge A plain=NAME number=7          the same without our extensions
//	reset A B              the connections between the two end
//	reset-every A B bytes=4KiB           whenever so much has come from A at B, until heal
//	move pub A B           the application's connection to A ends, and it goes to B
//
// # Applications
//
//	publisher pub servers=A,B [store=memory] [sync-always] [max=10] [window=4] [heartbeat=20s] [name=gateway] [user=bob]
//	        [forges=victim]      its store makes up a life with the protocol's hash of the victim's
//	        [fail-back=never|at-once|30s]        prefers the first of its servers; a duration: in sync for so long
//	subscriber sub servers=A,B [queue=8] [marks=file] and the options of subscribe
//	subscribe pub [as NAME] [topic=orders] [from=epoch|now|recent] [discard=none|10] [hold] [handling=5ms]
//	        [answers=TOPIC] [fully-durable] [allow-unreplicated] [accept-gaps]
//	        [fails=3]            Handle, called again when its function has failed, three times, for number 3
//	kill, powercut, start, die-at, fail-disk             as for instances; a new process subscribes as the last one did;
//	                             fail-disk of a subscriber with marks=file: all commits fail from now on
//	copy one two [servers=B]     a copy of a dead application's disk elsewhere
//	connect pub servers=B        where a dead one connects to when it is started
//	publish pub orders 1..5 [size=1KiB] [within=1s] [every=10ms]   prints what was not taken
//	load pub orders every=4ms    publishes in the background; stop-load pub
//	flush [safe] pub [within=1s]
//	discard sub 3 1..2           by number, in that order, until it is on disk
//	release sub                  ends hold
//
// # Time
//
//	pass 5s
//	await sync | ready A | stopped A | live pub A | recovering pub | received sub 20
//	repeat 10              the rest of the block, so many times
//
// # Facts
//
//	received sub           by the present process, each publisher's in the order of arrival
//	events pub             what its hooks were told since the last time
//	acked pub              how far its store has let go, and what it keeps
//	moves pub              where it has been, and why it went
//	where pub, ended pub   the instance it is on; what its client has stopped for
//	account pub            what it published and is neither in a journal, nor rejected, nor kept
//	journal A B            what stands in the journals: publisher by publisher; "as": under other sequences
//	order A B              the same in the order of the journal
//	same A B               whether they hold the same
//	status A, size A most=2MiB, sessions NAME A B
//	said A some words      whether it has logged them, as a warning or an error
package scenario
