package client

// Hooks are told what happens to a client. Each may be nil. They run one
// after the other on the client's session goroutine: they must not block, nor
// call what waits for that goroutine: Close, Drain, Flush, FlushSafe, the methods of a
// Ticket, Subscribe, Execute. Publishing from one is fine as long as the publish store has room.
//
// Config.Logger gets a line for each call, whether the hook is set or not.
type Hooks struct {
	// StateChanged is told each state the client enters. Must not block.
	StateChanged func(State)
	// Connected is told each logon that a server accepted. Must not block.
	Connected func(ServerInfo)
	// ServerChanged is told when the server connected to says another
	// ServerInfo.Sync than before, after a second at the earliest. Must not block.
	ServerChanged func(ServerInfo)
	// Moved is told each logon on another server than the one before, the
	// first included, and why. Must not block.
	Moved func(Move)
	// Disconnected is told each attempt that failed and each connection that
	// was lost, and why. Must not block.
	Disconnected func(server string, err error)
	// Replayed is told, after a logon, how many messages that may have been
	// sent before were sent again, if any were. Must not block.
	Replayed func(messages int)
	// FailedWrite is the failed-write handler: it is told once each message
	// that a server refused, which the publish store then lets go. Must not block.
	FailedWrite func(*RejectedError)
	// Downgraded is told true when acks begin to come from one server only,
	// so that the publish store keeps what is acknowledged, and false when
	// both have everything again (R5). Must not block.
	Downgraded func(bool)
	// PublishGap is told the server that lacks acknowledged messages (R4). Must not block.
	PublishGap func(server string)
	// Lost is told which of the client's messages were acknowledged as safe and are
	// lost, as the operator of the servers has declared (R4). They are told again if
	// the process dies before its publish store has noted it, or the server before
	// its disk has. Must not block.
	Lost func(*LostError)
	// StoreRolledBack is told each time the client has begun a new life of the
	// store because a server has more of it, has another publisher under the id of
	// its life, or takes nothing of that any more; err is ErrStoreRolledBack,
	// ErrOtherLife (R10) or a *DivergedError (R11), with details.
	// Must not block.
	StoreRolledBack func(err error)
	// Gap is told each gap in a bookmark subscription, accepted or not. Must not block.
	Gap func(*GapError)
	// Paused is told a bookmark subscription whose queue overran: the server
	// keeps its messages until the application has caught up (R12). Must not block.
	Paused func(*Subscription)
	// Waits is told true when a FullyDurable subscription waits because a
	// server is left out, so that nothing new is safe, and false when its
	// messages come again (R13). Must not block.
	Waits func(s *Subscription, waits bool)
	// Diverged is told a bookmark subscription that has received, or may receive,
	// messages of a publisher of which the servers have different contents, once for
	// each publisher (R11). It goes on with those of the server it is connected to;
	// what another subscriber has received may differ. Must not block.
	Diverged func(s *Subscription, err *DivergedError)
	// SubscriptionEnded is told a subscription that ended with an error,
	// which its loop is told too. Must not block.
	SubscriptionEnded func(*Subscription, error)
}

// tell calls a hook, if it is set.
func tell[T any](hook func(T), of T) {
	if hook != nil {
		hook(of)
	}
}

// These log what a hook is told, and tell it, on the session goroutine.

func (c *Client) tellReplayed(messages int) {
	c.cfg.Logger.Info("sent again", "messages", messages)
	tell(c.cfg.Hooks.Replayed, messages)
}

func (c *Client) tellDowngraded(on bool) {
	if on {
		c.cfg.Logger.Warn("acks come from one server only")
	} else {
		c.cfg.Logger.Info("acks come from both servers again")
	}
	tell(c.cfg.Hooks.Downgraded, on)
}

func (c *Client) tellPaused(s *Subscription) {
	c.cfg.Logger.Warn("subscription paused, its queue is full", "subscription", s.id, "topic", s.topic)
	tell(c.cfg.Hooks.Paused, s)
}

func (c *Client) tellWaits(s *Subscription, on bool) {
	if on {
		c.cfg.Logger.Info("subscription waits until messages are safe", "subscription", s.id, "topic", s.topic)
	} else {
		c.cfg.Logger.Info("subscription goes on, messages are safe", "subscription", s.id, "topic", s.topic)
	}
	if hook := c.cfg.Hooks.Waits; hook != nil {
		hook(s, on)
	}
}

func (c *Client) tellDiverged(s *Subscription, err *DivergedError) {
	c.cfg.Logger.Error("servers have different contents of a publisher", "subscription", s.id, "topic", s.topic, "error", err)
	if hook := c.cfg.Hooks.Diverged; hook != nil {
		hook(s, err)
	}
}

func (c *Client) tellEnded(s *Subscription, err error) {
	c.cfg.Logger.Warn("subscription ended", "subscription", s.id, "topic", s.topic, "error", err)
	if hook := c.cfg.Hooks.SubscriptionEnded; hook != nil {
		hook(s, err)
	}
}

func (c *Client) tellGap(e *GapError) {
	c.cfg.Logger.Warn("messages are no longer in the server's log", "error", e)
	tell(c.cfg.Hooks.Gap, e)
}
