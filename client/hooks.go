package client

import "github.com/holdfast-mq/holdfast/pubstore"

// Hooks are functions that the client calls on events. Each may be nil.
//
//	StateChanged       the client enters a state
//	Connected          a server has accepted a logon
//	ServerChanged      the connected server's state of replication has changed
//	Moved              the client has logged on to another server than before
//	Disconnected       an attempt has failed, or a connection was lost
//
//	Replayed           messages were sent again after a logon
//	FailedWrite        a server has rejected a message
//	Downgraded         acks come from one server only, or from both again
//	PublishGap         a server lacks acknowledged messages, so the client does not publish to it
//	Lost               acknowledged messages are lost
//	LifeRenewed        the client has begun a new life of the publish store
//
//	Gap                a subscription has missed messages that no server has any more
//	Paused             the queue of a bookmark subscription was full
//	HeldBack           a server holds messages of a FullyDurable subscription back, or no longer
//	Diverged           a subscription may have received messages that differ between the servers
//	SubscriptionEnded  a subscription has ended with an error
//
// All hooks run on the client's session goroutine, one after the other. The first ones may run
// before Dial has returned. A hook must not block and must not call anything that waits for that
// goroutine: Close, Drain, Flush, FlushSafe, the methods of a Ticket, Subscribe, Execute. A hook
// may publish as long as the publish store has room.
//
// Config.Logger gets lines about the same events, whether the hooks are set or not. An event that
// repeats, such as a failed attempt, has a few lines and not one for each call; server/LOGS.md lists
// them.
type Hooks struct {
	// StateChanged is called with each state that the client enters, and with StateConnecting at
	// each attempt.
	StateChanged func(State)
	// Connected is called after each logon that a server accepted. If the store still has messages
	// of a former life, the client logs on to the server twice: first with that life, to send them.
	Connected func(ServerInfo)
	// ServerChanged is called when the ServerInfo.Sync of the connected server has changed, at most
	// once a second.
	ServerChanged func(ServerInfo)
	// Moved is called after each logon on another server than the one before, with the reason. The
	// first logon counts as a move.
	Moved func(Move)
	// Disconnected is called after each failed attempt and each lost connection, with the URI of
	// the server, without its password, and the reason. It is not called when the client leaves for
	// a preferred server (hook Moved) or is closed.
	Disconnected func(server string, err error)

	// Replayed is called after a logon, once the client has sent messages again that may have been
	// sent before. It receives their number, and is not called if there were none.
	Replayed func(messages int)
	// FailedWrite is the failed-write handler. It is called once for each message that a server
	// rejected. When it returns, the publish store lets the message go. If the process dies in
	// between, the next process calls it again.
	FailedWrite func(*RejectedError)
	// Downgraded is called with true when acks begin to come from one server only; from then on the
	// publish store keeps acknowledged messages. It is called with false when both servers have
	// everything again.
	Downgraded func(downgraded bool)
	// PublishGap is called with the URI of a server, without its password, that lacks acknowledged
	// messages (ErrPublishGap).
	PublishGap func(server string)
	// Lost is called for messages of the client that were acknowledged as safe and are lost, as the
	// operator of the servers has declared. It is called again for the same messages if the process
	// dies before its publish store has recorded the loss, or the server dies before the loss is on
	// its disk.
	Lost func(*LostError)
	// LifeRenewed is called each time the client has begun a new life of the publish store by
	// itself. err says why: a server has messages that the store has never numbered
	// (ErrStoreRolledBack), has another publisher under the id of its life (ErrPublisherIDTaken),
	// or refuses the life because it has diverged (a *DivergedError). It is not called for
	// RenewLife.
	LifeRenewed func(err error)

	// Gap is called for each gap in a bookmark subscription, accepted or not.
	Gap func(*GapError)
	// Paused is called for a bookmark subscription whose queue was full. The server keeps the later
	// messages until the application has caught up.
	Paused func(*Subscription)
	// HeldBack is called with true when the server begins to hold messages of a FullyDurable
	// subscription back, because a peer is downgraded and no new message is safe. It is called with
	// false when the server delivers again.
	HeldBack func(s *Subscription, heldBack bool)
	// Diverged is called for a bookmark subscription that has received, or may receive, messages of
	// a publisher whose messages differ between the servers. It is called once for each publisher.
	// The subscription continues with the messages of the connected server; another subscriber may
	// have received different ones.
	Diverged func(s *Subscription, err *DivergedError)
	// SubscriptionEnded is called when a subscription that Subscribe has returned ends with an
	// error other than ErrClosed. Its loop gets the same error.
	SubscriptionEnded func(*Subscription, error)
}

// callHook calls a hook, if it is set.
func callHook[T any](hook func(T), event T) {
	if hook != nil {
		hook(event)
	}
}

// Each of these functions logs an event and calls its hook, on the session goroutine.

func (c *Client) reportReplayed(info ServerInfo, messages int, r pubstore.Range) {
	if leftOut, ok := c.log.allow("replayed", connectedLines); ok {
		c.cfg.Logger.Info("messages are sent again", "server", info.Server, "instance", info.Instance, "messages", messages,
			"first", r.From, "last", r.To, "left_out", orNil(leftOut))
	}
	callHook(c.cfg.Hooks.Replayed, messages)
}

func (c *Client) reportDowngraded(info ServerInfo, downgraded bool) {
	now := c.log.now()
	if downgraded {
		c.log.single.Begin(now)
		c.cfg.Logger.Warn("acks come from one server only: the publish store keeps the messages until both have them",
			"server", info.Server, "instance", info.Instance)
	} else {
		c.cfg.Logger.Info("acks come from both servers again", "server", info.Server, "instance", info.Instance, "duration", c.log.single.End(now))
	}
	callHook(c.cfg.Hooks.Downgraded, downgraded)
}

func (c *Client) reportPaused(s *Subscription) {
	if leftOut, ok := c.log.allow("paused\x00"+s.id, 1); ok {
		c.cfg.Logger.Warn("a subscription is paused until the application has caught up: its queue is full",
			"subscription", s.id, "topic", s.topic, "left_out", orNil(leftOut))
	}
	callHook(c.cfg.Hooks.Paused, s)
}

func (c *Client) reportHeldBack(s *Subscription, heldBack bool) {
	if heldBack {
		c.cfg.Logger.Info("the server holds messages back until they are safe", "subscription", s.id, "topic", s.topic)
	} else {
		c.cfg.Logger.Info("the server delivers again: messages are safe", "subscription", s.id, "topic", s.topic)
	}
	if hook := c.cfg.Hooks.HeldBack; hook != nil {
		hook(s, heldBack)
	}
}

func (c *Client) reportDiverged(s *Subscription, err *DivergedError) {
	c.cfg.Logger.Error("DIVERGED: messages of a publisher differ between the servers", "subscription", s.id, "topic", s.topic, "error", err)
	if hook := c.cfg.Hooks.Diverged; hook != nil {
		hook(s, err)
	}
}

func (c *Client) reportEnded(s *Subscription, err error) {
	c.cfg.Logger.Warn("a subscription has ended", "subscription", s.id, "topic", s.topic, "error", err)
	if hook := c.cfg.Hooks.SubscriptionEnded; hook != nil {
		hook(s, err)
	}
}

func (c *Client) reportGap(e *GapError) {
	c.cfg.Logger.Warn("a subscription has a gap: no server has messages that it had not got", "subscription", e.Subscription, "error", e)
	callHook(c.cfg.Hooks.Gap, e)
}
