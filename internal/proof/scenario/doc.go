// Package scenario tells the hard cases of the guarantees (client/GUARANTEES.md)
// as documents, in testdata, that its test runs: with the real client, stores and
// servers, on a network and on disks in memory, in virtual time.
//
// A document is made of blocks: commands, one a line, then "----" and their
// output (github.com/cockroachdb/datadriven). Commands print facts only once
// everything is at rest, so that the output is the same in every run:
//
//	go test ./internal/proof/scenario            # compares
//	go test ./internal/proof/scenario -rewrite   # writes the output into the documents; read the difference
//
// A message is named after its publisher and numbered: "pub 1..5 7" are six
// messages of pub, in this order. Each command ends when everything that can
// happen without time passing has happened.
//
// # Instances
//
//	servers A B [downgrade-after=1s] [rejoin-timeout=2s] [retain=1m] [hold=1MiB] [segment=64KiB]
//	        [max-message=64KiB] [log=^orders$] [carry=^shared$] [third=C] [as=X,Y] [users]
//	                       a pair that replicates synchronously; both feed C asynchronously;
//	                       as: their names, by default those of the hosts A and B; users: who may do everything
//	deny A bob orders      on A the user bob may not publish to that topic from now on; nothing else is denied
//	config A ...           the same options for a dead instance; omitted ones are reset
//	config B forgets=A     B no longer replicates to A; knows=A: it does again
//	kill A B               as kill -9; shutdown A: in order
//	powercut A [keeps=nothing|torn|hole|garbage|zeros] [seed=1]   keeps: the fate of unsynced changes
//	wipe A, start A        an empty disk; a new process
//	met A B                a dead instance with an empty disk has met B's group and got nothing yet
//	dials A C              a dead instance dials its peer at C from its next start on
//	stop A, cont A         as SIGSTOP and SIGCONT
//	clock A 240h           its wall clock is that far ahead from now on; 0s: it is right
//	slow-disk A 1s         the time of an fsync
//	fail-disk A full|write|half|sync     the next one fails
//	die-at A 1             the machine stops before that change of its disk; kill or powercut goes with it
//	damage A pub-17        flips a bit of that record (a message with a size)
//	lost C A B [end=yes]   an operator declares at C that A and B will not return and their messages are lost; end: ends that
//	newer A B, known A B   journals of dead instances get a format that is too new for holdfastd; known: its own again
//	proxy near A acks=twice|late|beyond  a host between clients and A
//
// # Network
//
//	partition A B C        A is cut off from B and C; heal A B C
//	cut A to B             one way; heal A B
//	forge A as=pub number=7 [topic=orders] [acked=0] [last=0] [takes]    a client with pub's life logs on to A and
//	                       publishes once; takes: even if pub has a session
//	forge A plain=NAME number=7          the same without our extensions
//	reset A B              the connections between the two end
//	reset-every A B bytes=4KiB           resets whenever so many bytes have come from A at B, until heal
//	move pub A B           the application's connection to A ends, and it goes to B
//
// # Applications
//
//	publisher pub servers=A,B [store=memory] [sync-always] [max=10] [window=4] [heartbeat=20s] [name=gateway] [user=bob]
//	        [forges=victim]      its store makes up a life with the hash of the victim's life
//	        [fail-back=never|at-once|30s]        prefers the first of its servers; a duration: once it was in sync for that long
//	subscriber sub servers=A,B [queue=8] [marks=file] and the options of subscribe
//	subscribe pub [as NAME] [topic=orders] [from=epoch|now|recent] [discard=none|10] [hold] [handling=5ms]
//	        [answers=TOPIC] [fully-durable] [allow-unreplicated] [accept-gaps]
//	        [fails=3]            Handle is called again when its function has failed, three times, for number 3
//	kill, powercut, start, die-at, fail-disk             as for instances; a new process subscribes as the last one did;
//	                             fail-disk of a subscriber with marks=file: all commits fail from now on
//	copy one two [servers=B]     a copy of a dead application's disk elsewhere
//	connect pub servers=B        the servers of a dead application from its next start on
//	publish pub orders 1..5 [size=1KiB] [within=1s] [every=10ms]   prints the messages that were not accepted
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
//	events pub             the calls of its hooks since the last time
//	acked pub              how far its store has let go, and the messages that it keeps
//	moves pub              the servers that it was on, and why it left them
//	where pub, ended pub   the instance that it is on; the error that stopped its client
//	account pub            its messages that are neither in a journal, nor rejected, nor kept
//	journal A B            the records of the journals by publisher; "as": under other sequences
//	order A B              the same in the order of the journal
//	same A B               whether they hold the same messages
//	status A, size A most=2MiB, sessions NAME A B
//	said A some words      whether it has logged them, as a warning or an error
package scenario
