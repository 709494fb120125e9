package client

import (
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
)

// suits returns an error if the client must leave a server that has accepted the logon: a bookmark
// subscription must not move to it (R3), or the chooser refuses it.
func (c *Client) suits(cn *conn, choice Choice) error {
	switch {
	case !c.ways(&cn.at):
		c.record.change(func(s *Stats) { s.AsyncRefusals++ })
		return ErrAsyncPath
	case choice.Accept != nil:
		return choice.Accept(cn.info)
	}
	return nil
}

// ways reports whether all bookmark subscriptions may continue on a server.
func (c *Client) ways(to *clientcore.Server) bool {
	for _, s := range c.subscriptions() {
		if !under(&s.mu, func() bool { return s.core.LeadsTo(to) }) {
			return false
		}
	}
	return true
}

// better returns those servers of choice.Better that the client may move to.
func (c *Client) better(choice Choice) []string {
	return with(c.core, (*clientcore.Session).Known).Better(choice.Better, c.ways)
}

// servers returns the latest known state of each server, by URI.
func (c *Client) servers() map[string]ServerInfo {
	infos := make(map[string]ServerInfo)
	for uri, s := range with(c.core, (*clientcore.Session).Known) {
		infos[uri] = serverInfo(&s)
	}
	return infos
}

// noteStanding reports a change of the server's state to the application. It returns the present
// state.
func (c *Client) noteStanding(cn *conn) ServerInfo {
	s := with(c.core, (*clientcore.Session).Server)
	info := serverInfo(&s)
	if info.Sync == cn.shown {
		return info
	}
	cn.shown = info.Sync
	c.record.change(func(s *Stats) { s.Server = info })
	c.cfg.Logger.Info("server stands otherwise to its peers", "server", info.Server, "sync", info.Sync)
	tell(c.cfg.Hooks.ServerChanged, info)
	return info
}

// lastWord adds ErrStopping to the reason why a connection ended, if the server had announced that
// it stops.
func (c *Client) lastWord(cn *conn, err error) error {
	if c.noteStanding(cn).Sync == SyncStopping {
		return fmt.Errorf("%w: %w", ErrStopping, err)
	}
	return err
}
