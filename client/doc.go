// Package client publishes to and subscribes from a pair of servers so that a
// server, a connection or the process itself may die at any moment and no
// message is lost, repeated or reordered. What that means word by word, and
// where it ends, is in GUARANTEES.md beside this file; G and R numbers refer
// to it. MIGRATING.md is for who comes from another client.
//
//	c, err := client.Dial(ctx, client.Config{
//		Name:      "order-gateway",
//		Servers:   []string{"tcp://a:9007/amps/json", "tcp://b:9007/amps/json"},
//		Publishes: store, // a pubstore.File, say; default: in memory
//		Bookmarks: marks, // a bookmarkstore.Bolt, say; default: in memory
//	})
//
// The examples run against a pair in memory and can be copied: [Config] with a
// store on disk, [From] for a subscription that is resumed, [Client.Subscribe]
// for several, [Hooks] for messages that are refused, [ServerChooser] for one
// of your own. Package server/servertest has such a pair for your tests.
//
// # Lifecycle
//
// [Dial] starts a client; it returns after the first logon, or at once with
// [Config.Offline]. From then on the client connects, logs on, sends again,
// subscribes again and connects again by itself, for ever: to the next server
// its chooser names, with fresh credentials each time. A wrong password does
// not end it. What ends it by itself is a publish store that cannot be used
// any more: its disk failed ([pubstore.FailedError]), it
// belongs to another client name ([pubstore.ErrOtherName]), or the application
// has closed it ([pubstore.ErrClosed]). Then every call returns [ErrClosed] with
// that reason, as [Client.Err] does, and [Client.Done] is closed.
//
//	connecting → recovering → live → (lost) → waiting → connecting …
//
// Every method works in every state but closed: what needs a server waits for
// one, as long as its context lasts.
//
// [Client.Flush] and [Client.FlushSafe] wait and change nothing. Two calls end a
// client, for good:
//
//   - [Client.Close] abandons. Loops end with ErrClosed, messages in their queues
//     are dropped, nothing more is sent. Nothing is lost by it: what the publish
//     store on disk keeps is sent by the next client that is given the store,
//     and what was not discarded comes again.
//   - [Client.Drain] finishes. Publish is refused, loops get what is queued and
//     end, discards are written, and what was published is settled as for
//     Flush. Then it closes, also if its context ends before.
//
// The stores belong to the application, which closes them after the client. One
// client at a time uses a publish store: a second one of the same process is
// refused by Dial ([pubstore.ErrInUse]), another process by the stores on disk
// when it opens them.
//
// # What is promised when
//
// Of a message that is published:
//
//   - [Client.Publish] has returned nil: it is in the publish store, on its way,
//     connected or not, and is delivered once, unless a server refuses it. It
//     survives connections and servers; with [pubstore.File] and [pubstore.Bolt]
//     a killed process too (G1); with Bolt, or a File with SyncAlways, a power
//     cut as well, which may else cost a File its last 10 ms.
//   - [Client.Flush] has returned nil: it is settled, that is on the disk of every
//     server that counts at the moment, or refused and the hook told. Both
//     servers count, unless the server has stopped waiting for the other one
//     (downgraded): then it is one disk, acks say single, and the store keeps
//     the message until both have it (G2, R5).
//   - [Client.FlushSafe] has returned nil: it is safe, that is on both disks, or
//     refused, and has left the store. While a server is away it waits for it.
//
// Of a server that has no peer both are its own disk. Both calls wait for all that was
// published. Where each request of a service wants the outcome of its own message,
// [Client.PublishTicket] returns a [Ticket], with the two waits for that one message.
//
// Of a message that is received: it is on the disk of the server that sent it;
// with [FullyDurable] it is safe (R13). With [From] it is handed over once as long
// as the process lives, also when the client changes servers (G6), and once its
// [Message.Discard] is on disk it does not come again to a process that resumes: with
// [bookmarkstore.Bolt] 10 ms later by default, at once with SyncAlways, and in
// the same transaction as your own data with [bookmarkstore.Bolt.DiscardTx].
// [pubstore.Bolt.AppendTx] does the same for a message to be published; what Publish
// checks and waits for is then [Client.Check] and [pubstore.Bolt.AwaitRoom]. An
// example of [Config] has all three in one transaction.
//
// # Publishing
//
// Messages go out in the order of their sequences, which is the order of the
// calls of Publish, also across failovers: what was sent before and is not yet
// safe is sent again before anything new (R1). A message that a server refuses
// is the exception: the hook [Hooks.FailedWrite] is told once, the store lets it
// go, and those behind it are sent all the same. Hence a caller who must not send B
// if A failed waits for A ([Ticket.Settled]) before publishing B.
//
// A context ends the wait of the call it is given to and never the delivery of
// a message. An error of Publish means that the message is not in the store,
// but for a [pubstore.FailedError].
//
// # Subscribing
//
// A subscription made with [From] has a place, kept in the bookmark store: what
// was received, and what the application has discarded. While the client
// lives, each matching message is handed over once, through any number of
// reconnects (G6); after a restart with the same [ID] and From([MostRecent]), what
// was not discarded comes again, and only that ([MostRecentOr] says where to begin
// the first time). Per publisher the order is
// that of publishing; between publishers, and between subscriptions, there is
// none. If the server's log no longer has what the subscription needs, the client
// fetches it from the server's synchronous peers, in connections of their own and
// as far as Config.Servers leads to them. If none has it, a [GapError] says which
// messages are gone (G7).
//
// Discard every message, also one that you ignore: the place cannot move
// beyond one that is not discarded, and the client remembers it.
//
// A topic that has any of ^ $ . * + ? ( ) [ ] { } | \ is a regular expression
// (RE2), searched anywhere in the topic: orders.eu also gets orders_eu, and
// ^orders\.eu$ does not. The topic of a Publish is always literal.
//
// A subscription without From gets what is published while it is connected.
//
// Leaving the loop in a message's turn without a Discard, as [Subscription.Handle]
// does when its function fails, has the next loop begin with that message again;
// nothing behind it comes before. [Retry] does so within Handle.
//
// # Which goroutine runs your code
//
// Your own: the body of a loop over [Subscription.Messages], the function given
// to [Subscription.Handle] and that given to [OnGap] run on the goroutine that
// loops. They may block, publish, flush, subscribe and close; only Drain they must
// not call, which would wait for them. One loop at a time reads a subscription;
// for several at once, hand [Message.Clone] to goroutines of yours.
//
// The client's session goroutine: [Hooks]. While one runs, messages flow, but the
// client does not reconnect and no other hook runs. A hook must not block, nor
// wait for the client: no Close, Drain, Flush, FlushSafe, Subscribe or Execute, and no wait for a [Ticket]. Publishing
// from one is fine as long as the store has room; else hand it to a goroutine.
// [Config.Credentials], [Config.Dial] and a [ServerChooser] run there too and may
// take their time, up to the end of the context they are given; the functions of
// a [Choice] must not block.
//
// A client has that goroutine, and two for each connection; Close waits for
// them. No channel is ever handed out.
//
// # Memory
//
// What is given to Publish is the caller's again when it returns. A [Message] and
// its Data are valid until the next turn of the loop, since they are used again
// for later messages: [Message.Clone] keeps one, and [Message.Mark] is a small
// value that is enough to discard it later, from any goroutine and in any order
// ([Client.Discard]). Its strings, and what [Client.Execute] and hooks are given, stay
// valid.
//
// # Errors
//
// Each is for errors.Is or errors.As, however wrapped:
//
//	ErrClosed                     the client has ended; make another one
//	pubstore.ErrFull              slow down; the servers do not keep up or are away. Also
//	                              when the context ended while Publish waited for room
//	*pubstore.FailedError         the disk failed: restart the process, elsewhere if need be
//	pubstore.ErrOtherName         (ended by itself) give each client name a store of its own
//	pubstore.ErrClosed            (ended by itself) close the store after the client
//	pubstore.ErrInUse             (Dial) one client at a time uses a store
//	*TooLargeError                split the message (= *pubstore.TooLargeError)
//	*FrameTooLargeError           raise Config.MaxFrame and subscribe again
//	*RejectedError                (hook FailedWrite, Ticket) store it elsewhere or drop it
//	*UnsettledError               (Flush, FlushSafe, Drain, Ticket) nothing: it is still on its
//	                              way; or wait again
//	ErrOutcomeUnknown             (Ticket, *RejectedError) look whether it has arrived; or publish it
//	                              again if it may come twice
//	ErrPublishGap                 (Stats, hook PublishGap) nothing: it ends when that server
//	                              has caught up; or Renew
//	*LostError                    (hook Lost) what was acknowledged and is lost: publish it anew,
//	                              or reconcile, if the application still knows it
//	ErrOldIncarnation             (Stats, hook Disconnected) nothing, others are tried: whoever
//	                              runs that server empties its journal
//	ErrDiskFull                   (Stats, hook Disconnected) nothing, others are tried: whoever
//	                              runs that server gives it space
//	ErrStoreRolledBack            (hooks) find out who restored or copied the store, or which
//	                              server says more than it was sent
//	ErrOtherLife                  (hooks) nothing: chance does not bring it about, so look for a
//	                              fault of that server, or for a client that made up a life
//	ErrDiverged                   (hooks) find the copy of the store that is in use; messages of
//	                              which FailedWrite was told may be on a server
//	ErrNameInUse                  (hook Disconnected) find the other process of this name
//	*GapError                     report the lost messages; subscribe again with AcceptGaps, or
//	                              once the servers that were not asked are back
//	*PublishersError              raise the limit that it names; or subscribe from Epoch or Now
//	ErrNotReplicated              wait for the server that has the topic; or AllowUnreplicated
//	ErrAsyncPath                  (Stats, hook Disconnected) nothing: it ends when the server
//	                              that the subscriptions were on, or its peer, is back; or
//	                              AllowUnreplicated
//	ErrLagging, ErrAsync, ErrOneWay
//	                              (Stats, hook Disconnected) nothing: others are tried first
//	ErrPreferred, ErrStopping     (Move) nothing: why the client has moved
//	ErrSlowConsumer               take messages faster; or subscribe with From
//	*CommandError                 mend the command, or the permissions
//	ErrTimeout, ErrDisconnected   try the command again
//	ErrProtocol                   (Stats, hook Disconnected) is it the right port of a server?
//	ErrInUse                      one loop at a time reads a subscription
//	ErrNoSubscription             (Client.Discard) discard while the subscription lasts
//	bookmarkstore.ErrInUse        (Subscribe) give each subscription its own ID
//	bookmarkstore.ErrNotOutstanding
//	                              (Bolt.DiscardTx) roll back and take the next message: this
//	                              one was done before, or comes again
//	bookmarkstore.ErrClosed       close the store after the client
//	*bookmarkstore.FailedError    the disk failed: as above
//	*ConnectError                 (Dial, Stats, hook Disconnected) nothing, the client goes on
//
// From opening a store, before there is a client:
//
//	pubstore.ErrLocked, bookmarkstore.ErrLocked
//	                              another process has the store open: find or await it
//	pubstore.ErrNotStore          is it the right directory?
//	*bookmarkstore.DamagedError   (Subscribe, too) holdfast store repair, or put back a copy: messages come again
//	*pubstore.DamagedError        look after the disk; holdfast store repair, or the options' AcceptDamage,
//	                              gives up what cannot be read (a backup would be a rollback)
//
// # Bounds and back pressure
//
// Each way has one bound, and says what happens there:
//
//   - Publish store: 100,000 messages or 64 MiB in memory, 1 GiB on disk. Publish
//     waits for room, or returns [pubstore.ErrFull] with FailWhenFull.
//   - What is sent and not acknowledged ([Config.WindowMessages], 65,536 or 32 MiB):
//     sending waits; meanwhile the store fills.
//   - The queue of a subscription ([Config.QueueMessages], 1,024 or 8 MiB). With
//     From it is paused and goes on when the loop has emptied the queue: the
//     server's log is the buffer, and the other subscriptions are not held up
//     (R12). Without From its [Policy] decides: by default it ends with
//     [ErrSlowConsumer] after 5s or at eight times the bound.
//   - The publishers that the place of a bookmark subscription names
//     ([Config.MaxPublishers], 1,000,000; with a server without our extensions
//     also half a million, since there they go in one command). Beyond it the
//     subscription ends with a [PublishersError], and its place stays as it was.
//   - Replies to Execute: eight times that queue, then ErrSlowConsumer.
//   - One message: what the server takes ([ServerInfo].MaxMessage, or
//     [Config.MaxMessage] if it does not say) and the store does, and [pubstore.MaxHeader] for topic, key and correlation id. Larger
//     ones are a [TooLargeError].
//
// # Choosing servers
//
// [Config.Servers] are tried in turn, beginning with the first: the client stays
// with one until it fails and goes on to the next, at once for every server of
// the list and then after jittered delays that grow to 5s. [NewPriority] prefers
// the first and goes back to it as its [FailBack] says, [NewDNS] takes the
// addresses of a host name, and a [ServerChooser] of your own is told why the
// last attempt ended and answers with a server and a delay. List both servers of
// a pair; to spread clients over the two, give half of them the other order.
//
// Servers say how they stand to their peers, at the logon and whenever that
// changes ([ServerInfo].Sync, hook [Hooks.ServerChanged]). Both list choosers try a
// server that lags or is asynchronous behind all others, and pass one over that
// turns out to be; if nothing better answers it will do. A bookmark
// subscription moves along synchronous links only: where there is none the
// client goes on trying, with everything it publishes kept in the store, and
// says so ([ErrAsyncPath]), unless each such subscription has [AllowUnreplicated].
// So one that began on an asynchronous server is at home there, and its client
// does not leave it for another. A client that must publish meanwhile is one
// without such subscriptions.
//
// Why a client is where it is, [Stats].Moves and the hook [Hooks.Moved] say.
//
// A connection that breaks is noticed at once, a server that falls silent after
// twice [Config.HeartbeatInterval].
//
// # Deployment
//
//   - One [Config.Name] for each process, and with stores on disk the same at each
//     start: two live processes of one name push each other out (ErrNameInUse).
//   - Stores are on a disk that outlives the process, each process with its own:
//     in a container a volume, for replicas one each. Never copy a publish
//     store or restore one from a backup ([ErrStoreRolledBack]). A bookmark
//     store may be restored; messages come again.
//   - A process that shall start during an outage sets Config.Offline; others give
//     Dial a deadline and print its error, which has that of every server.
//   - The store's bound, divided by the rate, is the longest outage it rides out.
//   - On SIGTERM call Drain with less time than the process is given. With stores
//     on disk killing it costs no message, only that some come again.
//   - Watch [Stats]: Publish.Outstanding.Oldest above all, Publish.Downgraded and
//     each subscription's Queued and Outstanding. Set [Config.Logger]; set the hook
//     FailedWrite, or a refused message is at most a line in the log.
//   - Retention of the servers (log.retain) is longer than any subscriber stays away.
//
// # Servers without our extensions
//
// The server beside this package, holdfastd, offers of the protocol what the
// guarantees are about: publish, subscribe, bookmarks, heartbeats and flush. It
// has no TLS, checks no passwords, and refuses content filters, SOW commands,
// deltas and ranges of bookmarks with a [CommandError] or [RejectedError]. This
// package sends them all the same, to servers that have them.
//
// The client also speaks to servers that know the plain protocol only. Then
// acks are as safe as that server makes them: FlushSafe, too, returns at its
// word, and Downgraded is never told. A server that lacks what was acknowledged before
// is not published to ([ErrPublishGap]), unless [Config.AllowPublishGap] says so. A
// publish store numbers its messages under the client name, so that two processes of
// one name destroy each other's messages; such a server closes the older connection
// of a name without a word, which counts as [ErrNameInUse] when it happens three
// times in a row within 5s of the logon. The limit on messages is
// [Config.MaxMessage]. With ext=0 in the URI the logon does not speak of our
// extensions, for servers that refuse what they do not know. A bookmark subscription resumes from a
// list of bookmarks instead of a vector, which can miss messages of a
// publisher from which it has not received any, and, begun at Now, those that
// were published before both its first message and the server's first persisted
// ack for it, and a reconnect; ErrNotReplicated is never told. [NotFound] says
// where such a server begins if it knows none of the bookmarks; a [GapError] that
// comes of it does not say what is missing.
//
// A refusal that names no message has the message sent again, three times at most;
// then FailedWrite is told. If several were under way, and the server has gone on
// behind them, FailedWrite is told of each that its outcome is unknown.
package client
