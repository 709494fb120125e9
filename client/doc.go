// Package client publishes messages to a pair of servers and subscribes to messages from it. A
// server or a connection may fail at any moment: no message is lost or repeated, and the
// messages of one publisher stay in order. With stores on disk, no message is lost when the
// process dies either; after a restart a subscription receives again only the messages that it
// had not discarded.
//
// The wire is the client protocol of AMPS with extensions of this module. The server of this
// module, holdfastd, has them; the section "Servers without our extensions" says what differs on
// other servers.
//
// GUARANTEES.md, beside this file, states each promise and its limits; the numbers G1 to G7 and
// R1 to R15 refer to it. MIGRATING.md maps AMPS, NATS and Kafka terms to ours.
//
//	c, err := client.Dial(ctx, client.Config{
//		Name:          "order-gateway",
//		Servers:       []string{"tcp://a:9007/amps/json", "tcp://b:9007/amps/json"},
//		PublishStore:  outbox,    // a pubstore.File, say; default: in memory
//		BookmarkStore: bookmarks, // a bookmarkstore.Bolt, say; default: in memory
//	})
//	...
//	_, err = c.Publish(ctx, "orders", body) // it is in the publish store
//	...
//	sub, err := c.Subscribe(ctx, "orders", client.ID("billing"), client.From(client.MostRecent))
//	...
//	err = sub.Handle(ctx, func(m *client.Message) error { return process(m.Body) })
//
// The examples run against a pair of servers in memory and can be copied. [Config] shows stores
// on disk, [From] a subscription that resumes, [Client.Subscribe] several subscriptions, [Hooks]
// rejected messages, and [ServerChooser] a chooser of your own. Package server/servertest has
// such a pair for your tests.
//
// # Lifecycle
//
// [Dial] starts a client. It returns after the first logon, or at once with [Config.StartOffline].
// From then on the client connects, logs on, sends again, subscribes again and reconnects by
// itself, for ever. For each attempt it asks its chooser for a server and gets fresh credentials.
// A wrong password does not end it.
//
// A client ends by itself only if its publish store can no longer be used: the disk failed
// ([pubstore.FailedError]), the store belongs to another client name
// ([pubstore.ErrNameMismatch]), or the application has closed the store ([pubstore.ErrClosed]).
// Then [Client.Done] is closed, and [Client.Err] and every call return [ErrClosed] with that
// reason.
//
//	connecting → recovering → live → (lost) → waiting → connecting …
//
// Every method may be called in every state. A method that needs a server waits for one, until
// its context ends. After the end, methods that need the client return ErrClosed; Err, Done and
// Stats still work.
//
// [Client.Flush] and [Client.FlushSafe] only wait. Two calls end a client for good:
//
//   - [Client.Close] abandons. Loops end with ErrClosed, queued messages are dropped, and
//     nothing more is sent. No message is lost: the next client that is given the publish store
//     on disk sends the messages in it, and undiscarded messages come again.
//   - [Client.Drain] finishes. Publish is refused, loops receive the queued messages and end,
//     discards are written, and published messages are settled as for Flush. Then the client
//     closes. It also closes if the context of Drain ends first.
//
// The application owns the stores and closes them after the client. A publish store serves one
// client at a time: Dial refuses a second client of the same process ([pubstore.ErrInUse]), and a
// store on disk refuses a second process when that process opens it.
//
// # What is promised when
//
// A published message:
//
//   - [Client.Publish] has returned nil: the message is in the publish store. It will be
//     delivered once, unless a server rejects it, whether or not the client is connected now.
//     It survives lost connections and servers. With [pubstore.File] and [pubstore.Bolt] it
//     also survives a killed process (G1). With Bolt, or a File with SyncAlways, it survives a
//     power cut too; otherwise a power cut can cost a File its last 10 ms.
//   - [Client.Flush] has returned nil: the message is settled. It is on the disk of every
//     server that counts at the moment, or it was rejected and the hook has been called. Both
//     servers count, unless the connected server has stopped waiting for the other one
//     (downgraded). Then one disk is enough, the acks say single, and the store keeps the
//     message until both servers have it (G2, R5).
//   - [Client.FlushSafe] has returned nil: the message is safe, that is, on both disks, or it
//     was rejected. It has left the store. FlushSafe waits for a server that is away.
//
// On a server that does not replicate at all, settled and safe both mean its own disk. Flush and
// FlushSafe wait for all published messages. A service whose requests each need the outcome of
// their own message uses [Client.PublishTicket]: the [Ticket] has the same two waits for one
// message.
//
// A received message is on the disk of the server that sent it, or safe with [FullyDurable]
// (R13). A subscription with [From] delivers it once while the process lives, also when the
// client changes servers (G6). Once its [Message.Discard] is on disk, it does not come again to
// a process that resumes. With [bookmarkstore.Bolt] a discard is on disk 10 ms later by default,
// and at once with SyncAlways. [bookmarkstore.Bolt.DiscardTx] makes it part of the transaction
// that writes your own data. [pubstore.Bolt.AppendTx] does the same for a message to publish; it
// skips the checks and the waiting of Publish, so call [Client.CheckMessage] and
// [pubstore.Bolt.AwaitRoom] before it. An example of [Config] has all three in one transaction.
//
// # Publishing
//
// Messages are sent in the order of their sequences, which is the order of the calls of
// Publish. This also holds across failovers: the client first sends again every message that was
// sent before and is not yet safe, and only then anything new (R1). A rejected message is the
// exception: the client calls the hook [Hooks.FailedWrite] once, the store lets the message go,
// and the messages after it are still sent. So if B must not be sent unless A succeeded, wait
// for A ([Ticket.AwaitSettled]) before you publish B.
//
// A publish store numbers its messages from 1 without jumps. Such a series of numbers is a life
// of the store. To servers, and in bookmarks, each life is a publisher of its own. A store begins
// a new life if it may have lost numbers that it had given out, for example after a crash of the
// machine. A memory store has a new life in each process, and [Client.RenewLife] begins one on
// request. Messages of a former life stay in the store and are still sent.
//
// A context ends the wait of its call, never the delivery of a message. If Publish returns an
// error the message is not in the store, unless the error is a [pubstore.FailedError].
//
// # Subscribing
//
// A subscription made with [From] is a bookmark subscription. It has a place in the bookmark store,
// which records the messages that the application has discarded. While the client lives, each
// matching message is delivered once, through any number of reconnects (G6). After a restart with
// the same [ID] and From([MostRecent]), the undiscarded messages come again, and no others.
// [MostRecentOr] says where to begin the first time. Messages of one publisher arrive in the order
// in which they were published. There is no order between publishers or between subscriptions.
//
// If the server's log no longer has messages that the subscription needs, the client fetches
// them from the server's synchronous peers. It uses separate connections, and reaches only the
// peers that Config.Servers leads to. If no peer has them, a [GapError] names the missing
// messages (G7).
//
// Discard every message, also one that you ignore. The place cannot move beyond an undiscarded
// message, and the client has to remember it.
//
// A topic that contains any of ^ $ . * + ? ( ) [ ] { } | \ is a regular expression (RE2) that is
// searched anywhere in the topic: orders.eu also matches orders_eu, and ^orders\.eu$ does not.
// The topic of a Publish is always literal.
//
// A subscription without From receives the messages that are published while it is connected.
//
// If the loop is left in a message's turn without a Discard, the next loop begins with that
// message again, before any later one. [Subscription.Handle] leaves its loop this way when its
// function fails. With [Retry], Handle tries again by itself.
//
// # Which goroutine runs your code
//
// Your own goroutine runs the body of a loop over [Subscription.Messages], the function given to
// [Subscription.Handle], the GiveUp of a [RetryPolicy] and the function given to [OnGap]. This code
// may block, publish, flush, subscribe and close. It must not call Drain, which would wait for it.
// One loop at a time reads a subscription; to process several messages at once, hand a
// [Message.Clone] to goroutines of yours.
//
// The client's session goroutine runs the [Hooks]; its comment lists them all. While a hook runs,
// messages flow, but the client does not reconnect and no other hook runs. A hook must not block
// and must not wait for the client: no Close, Drain, Flush, FlushSafe, Subscribe or Execute, and no
// wait for a [Ticket]. It may publish as long as the store has room; otherwise publish from a
// goroutine. [Config.Credentials], a [Conversation], [Config.Dial] and a [ServerChooser] run there
// too and may block until their context ends. The functions of a [Choice] must not block. While a
// subscription fetches messages from other servers, its search goroutine calls Credentials, the
// [Authenticator] and Dial as well, so these must be safe for concurrent use.
//
// A client has one session goroutine, two goroutines for its connection and one for each search.
// Close waits for them. No method returns a Go channel except [Client.Done].
//
// # Memory
//
// The arguments of Publish belong to the caller again when it returns. A [Message], its Body and
// its Headers are valid until the next turn of the loop, because they are reused for later
// messages.
// [Message.Clone] copies a message. [Message.Ref] returns a small value that is enough to
// discard the message later, from any goroutine and in any order ([Client.Discard]). The strings
// of a message stay valid, as do the values that [Client.Execute] returns and hooks receive.
//
// # Headers and correlation ids
//
// A message may carry [Headers], pairs of key and value, and a correlation id. The application sets
// them in a pubstore.Message that it passes to [Client.PublishMessage]. Values and correlation ids
// are any bytes.
//
//	m := &pubstore.Message{Topic: "orders", Body: body, CorrelationID: "request 7"}
//	m.Headers.Set("tenant", "eu")
//	_, err := c.PublishMessage(ctx, m)
//	...
//	tenant := m.Headers.Get("tenant") // of a message that was received
//
// They belong to the content of the message. The publish store and the journals of both servers
// keep them, and they are the same at each delivery and after a failover. If a copied publish store
// gives one number to two messages that differ in their headers only, they are two contents: one of
// them is rejected (R11).
//
// A message has 32 headers of 4,096 bytes together at most. A server without our extensions takes
// no headers. Then the message is refused, unless [Config.DropHeaders] is set; the section "Servers
// without our extensions" says how.
//
// # Traces and metrics
//
// A [Tracer] sees each step of a message: Publish, each sending to a server, acks, a rejection, and
// the function of [Subscription.Handle]. It puts the trace of a Publish into headers of the message
// and continues it in the subscriber, in [Message.Context]. So the trace is the same on whichever
// server the message is delivered, and after a restart of the publisher. If a message has no room
// for more headers, or would be too large with them, it is published without its trace. A client
// with a Tracer that may log on to servers without our extensions needs DropHeaders: otherwise they
// get none of its messages.
//
// [Client.Stats] has the numbers of a client. Two modules, each with its own go.mod and page, bring
// traces and numbers to other systems, and this module imports neither:
//
//   - github.com/holdfast-mq/holdfast/client/prom: metrics for Prometheus.
//   - github.com/holdfast-mq/holdfast/client/otel: traces and metrics for OpenTelemetry. A trace
//     goes from Publish over every sending, also after a failover, to the handler.
//
// Both leave the [Hooks] to the application. [JoinTracers] adds their tracers to each other and to
// one of your own. [SampleLatency] measures how long messages take until they are acknowledged.
//
// # Errors
//
// Test errors with errors.Is or errors.As; they may be wrapped. The table says how to react to
// each; "nothing" means that the client recovers by itself. Parentheses say where an error appears,
// if that is not obvious.
//
//	ErrClosed                     the client has ended; make another one
//	pubstore.ErrFull              slow down: the servers do not keep up or are away. Also
//	                              returned when the context ends while Publish waits for room
//	*pubstore.FailedError         the disk failed: restart the process, on another disk if need be
//	pubstore.ErrNameMismatch      (ends the client) give each client name its own store
//	pubstore.ErrClosed            (ends the client) close the store after the client
//	pubstore.ErrInUse             (Dial) use a store with one client at a time
//	*TooLargeError                split the message (= *pubstore.TooLargeError)
//	*HeadersError                 set fewer or shorter headers (= *pubstore.HeadersError)
//	*UnsupportedError             (Publish, *RejectedError) the server takes no headers, or not that
//	                              correlation id: leave them out, or set DropHeaders
//	*FrameTooLargeError           raise Config.MaxFrame and subscribe again
//	*RejectedError                (hook FailedWrite, Ticket) store the message elsewhere or drop it
//	*PendingError                 (Flush, FlushSafe, Drain, Ticket) nothing: the messages are still
//	                              on their way; or wait again
//	ErrOutcomeUnknown             (Ticket, *RejectedError) check whether the message has arrived; or
//	                              publish it again if it may come twice
//	ErrPublishGap                 (Stats, hook PublishGap) nothing: it ends when that server has
//	                              caught up; or call RenewLife
//	*LostError                    (hook Lost) acknowledged messages are lost: publish them again, or
//	                              reconcile, if the application still knows them
//	ErrOldIncarnation             (Stats, hook Disconnected) nothing: the client tries other servers;
//	                              the operator of that server must empty its journal
//	ErrDiskFull                   (Stats, hook Disconnected) nothing: the client tries other servers;
//	                              the operator of that server must free disk space
//	ErrStoreRolledBack            (hooks) find out who restored or copied the store, or which
//	                              server claims more messages than it was sent
//	ErrPublisherIDTaken           (hooks) nothing; it does not happen by chance, so look for a
//	                              fault of that server, or for a client that made up a life
//	ErrDiverged                   (hooks) find the copy of the store that is in use; the messages
//	                              that FailedWrite reports may be on a server
//	ErrNotAuthenticated           (Stats, hook Disconnected) correct user, password or certificate;
//	                              the client tries again with fresh credentials
//	ErrNotEntitled                (*RejectedError, *CommandError) have the permissions of the user
//	                              changed on every server of the group; or publish elsewhere
//	ErrOtherOwner                 (Stats, hook Disconnected) log on as the user of the publish
//	                              store, or open another store
//	ErrServerNotProven            (Stats, hook Disconnected) check the URI: the server is not the
//	                              configured one, or has no SCRAM; then use Password with TLS
//	ErrTLSRequired                (Check, Dial, hook Disconnected) write tcps in that URI
//	ErrNameInUse                  (hook Disconnected) find the other process of this name
//	*GapError                     report the lost messages; subscribe again with AcceptGaps, or
//	                              once the servers that were not asked are back
//	*TooManyPublishersError       raise the limit that it names; or subscribe from Epoch or Now
//	ErrNotReplicated              wait for the server that has the topic; or AllowUnreplicated
//	ErrAsyncPath                  (Stats, hook Disconnected) nothing: it ends when the server
//	                              that the subscriptions were on, or its peer, is back; or
//	                              AllowUnreplicated
//	ErrLagging, ErrAsync, ErrOneWay
//	                              (Stats, hook Disconnected) nothing: the client tries other
//	                              servers first
//	ErrPreferred, ErrServerStopping
//	                              (Move) nothing: the reason why the client has moved
//	ErrSlowConsumer               take messages faster; or subscribe with From
//	*CommandError                 correct the command, or the permissions
//	ErrTimeout, ErrDisconnected   try the command again
//	ErrProtocol                   (Stats, hook Disconnected) check that the port is a client port
//	ErrLoopRunning                read a subscription with one loop at a time
//	ErrNoSubscription             (Client.Discard) discard before the subscription ends
//	bookmarkstore.ErrInUse        (Subscribe) give each subscription its own ID
//	bookmarkstore.ErrNotOutstanding
//	                              (Bolt.DiscardTx) roll back and take the next message: this
//	                              one is discarded already, or comes again
//	bookmarkstore.ErrClosed       close the store after the client
//	*bookmarkstore.FailedError    the disk failed: as for *pubstore.FailedError
//	*ConnectError                 (Dial, Stats, hook Disconnected) nothing: the client tries again
//
// Errors of opening a store, before there is a client:
//
//	pubstore.ErrLocked, bookmarkstore.ErrLocked
//	                              another process has the store open: find it or wait for it
//	pubstore.ErrNotStore          check the directory or the bucket
//	*pubstore.VersionError, *bookmarkstore.VersionError
//	                              open the store with the version that wrote it, or a later one
//	*bookmarkstore.DamagedError   (also Subscribe) run holdfast store repair, or restore a copy:
//	                              messages come again
//	*pubstore.DamagedError        check the disk; holdfast store repair, or the option AcceptDamage,
//	                              gives up the unreadable part (a backup would be a rollback)
//
// # Bounds and back pressure
//
// Each path has one bound and a defined behavior at that bound:
//
//   - Publish store: 100,000 messages or 64 MiB in memory, 4,194,304 messages or 1 GiB on disk.
//     Publish waits for room, or returns [pubstore.ErrFull] with FailWhenFull.
//   - Messages that are sent and not acknowledged ([Config.WindowMessages], 65,536 or 32 MiB):
//     sending waits, and meanwhile the store fills.
//   - The queue of a subscription ([Config.QueueMessages], 1,024 or 8 MiB). A subscription with
//     From is paused until the loop has emptied the queue. The server's log is the buffer, and
//     other subscriptions are not held up (R12). Without From the option [WhenSlow] decides: by
//     default the subscription ends with [ErrSlowConsumer] after 5s, or at eight times the bound.
//   - The publishers that the place of a bookmark subscription names ([Config.MaxPublishers],
//     1,000,000). With a server without our extensions about half a million is the limit,
//     because there they must fit into one command. Beyond the bound the subscription ends with
//     a [TooManyPublishersError], and its place stays unchanged.
//   - Replies to Execute: eight times the bound of a queue, then ErrSlowConsumer.
//   - One message: the limits of the server ([ServerInfo].MaxMessage, or [Config.MaxMessage] if
//     the server states none) and of the store, and [pubstore.MaxHeader] for topic, key,
//     correlation id and headers. A larger message is refused with a [TooLargeError].
//   - The headers of one message: [pubstore.MaxHeaderCount] (32) of [pubstore.MaxHeadersSize]
//     bytes (4,096) together. More are refused with a [HeadersError].
//
// # Choosing servers
//
// The client tries [Config.Servers] in turn, beginning with the first. It stays with a server
// until that fails and then moves to the next. It tries every server of the list once without
// delay; after that it waits between attempts, with jittered delays that grow to 5s.
// [NewPriority] prefers the first server and goes back to it as its [FailBack] says. [NewDNS]
// tries the addresses of a host name. A [ServerChooser] of your own receives the reason why the
// last attempt ended and returns a server and a delay. List both servers of a pair. To
// spread clients over the two, give half of them the reverse order.
//
// A server reports its state of replication at the logon and whenever it changes
// ([ServerInfo].Sync, hook [Hooks.ServerChanged]). Both list choosers try a server that lags or
// is asynchronous after all others. If such a state is known only at the logon, they leave that
// server for another one, and accept it only if no better one answers.
//
// A bookmark subscription moves along synchronous links only. If no server is reachable along
// such a link, the client keeps trying and reports [ErrAsyncPath]. Meanwhile the publish store
// keeps all published messages. [AllowUnreplicated], on every bookmark subscription of the
// client, lifts this rule. A subscription that began on an asynchronous server therefore stays
// there, and so does its client. A client that must publish meanwhile should have no such
// subscriptions.
//
// [Stats].Moves and the hook [Hooks.Moved] report why a client is on its present server.
//
// The client notices a broken connection at once, and a silent server after twice
// [Config.HeartbeatInterval].
//
// # Credentials and TLS
//
// With a tcps URI the connection is TLS, and [Config.TLS] has the roots and the certificate of the
// client. [Config.RequireTLS] refuses all others. Without TLS, whoever reads the connection reads
// the messages, and can change them; SCRAM alone protects the password only.
//
// [Config.Authenticator] has the credentials:
//
//   - [SCRAM] and [SCRAMFile] prove a password and have the server prove that it knows it. They are
//     the choice for holdfastd.
//   - [Password] and [PasswordFile] send the password. Use them with tcps, for other servers.
//   - [TokenFile] sends a token that another process renews.
//   - A type of your own answers the challenges of a server ([Authenticator], [Conversation]).
//     [Config.Credentials] is the same as a single function. Without either, user and password are
//     those of the URI.
//
// Each attempt to connect begins anew and reads the file again, so a new password or token needs no
// restart. If a server refuses the credentials the client does not end: each attempt is a call of
// the hook [Hooks.Disconnected] and a line in the log, with [ErrNotAuthenticated], and the next one
// comes after the usual delay. Dial returns it when its context ends.
//
// What the user may not publish or subscribe to is [ErrNotEntitled]: a message is rejected for good
// and goes to the hook [Hooks.FailedWrite]; a subscription ends.
//
// # Deployment
//
//   - Give each process its own [Config.Name]. With stores on disk, use the same name at each
//     start. Two live processes with one name push each other out (ErrNameInUse).
//   - Put the stores on a disk that outlives the process, and give each process its own: in a
//     container a volume, for replicas one volume each. Never copy a publish store or restore
//     it from a backup ([ErrStoreRolledBack]). A bookmark store may be restored; then messages
//     come again.
//   - A process that must start during an outage sets Config.StartOffline. Others give Dial a
//     deadline and print its error, which contains the error of every server.
//   - The store's bound divided by the publish rate is the longest outage that the store can
//     bridge.
//   - On SIGTERM call Drain with a shorter deadline than the process is given. If the stores
//     are on disk, killing the process loses no message; some messages come again.
//   - Monitor [Stats]: Publish.Outstanding.Oldest first of all, Publish.Downgraded, and each
//     subscription's Queued and Outstanding. Set [Config.Logger]. Set the hook FailedWrite;
//     without it a rejected message is at most a line in the log.
//   - Set the retention of the servers (log.retain) longer than any subscriber stays away.
//
// # Servers without our extensions
//
// The server beside this package, holdfastd, implements the part of the protocol that the
// guarantees cover: publish, subscribe, bookmarks, heartbeats and flush. It refuses content
// filters, SOW commands, deltas and ranges of bookmarks with a [CommandError] or [RejectedError].
// This package still sends these commands, for servers that
// have them.
//
// The client also works with servers that know only the plain protocol. These differences apply:
//
//   - Acks are as safe as that server makes them. FlushSafe also trusts its acks, and Downgraded
//     is never called.
//   - The client does not publish to a server that lacks acknowledged messages
//     ([ErrPublishGap]), unless [Config.AllowPublishGap] is set.
//   - A publish store numbers its messages under the client name, so two processes with one
//     name destroy each other's messages. Such a server closes the older connection of a name
//     without a message. The client treats three closed connections in a row, each within 5s of
//     its logon, as [ErrNameInUse].
//   - Messages have no headers, and a correlation id has only base-64 characters. Publish refuses
//     other messages with an [UnsupportedError]. Those that were in the store before the client
//     logged on there go to the hook FailedWrite. With [Config.DropHeaders] messages are sent
//     without their headers. A subscriber gets none either.
//   - The limit on messages is [Config.MaxMessage].
//   - With ext=0 in the URI the logon does not mention our extensions, for servers that refuse
//     unknown options.
//   - A bookmark subscription resumes from a list of bookmarks instead of a vector. It can miss
//     messages of a publisher from which it has not received any. A subscription that began at
//     Now can also miss messages that were published before a reconnect, before its first
//     message and before the server's first persisted ack for it.
//   - ErrNotReplicated is never reported.
//   - [NotFound] says where such a server begins if it knows none of the bookmarks. A [GapError]
//     with this cause does not name the missing messages.
//   - If a refusal names no message, the client sends the message again, three times at most,
//     and then calls FailedWrite. If several messages were on their way and the server has
//     accepted later ones, FailedWrite reports for each that its outcome is unknown.
package client
