package client

import (
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
)

// suits says what is against a server that has accepted the logon: a bookmark
// subscription must not move to it (R3), or the chooser passes it over.
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

// ways reports whether all bookmark subscriptions may go on at a server.
func (c *Client) ways(to *clientcore.Server) bool {
	for _, s := range c.subscriptions() {
		if !under(&s.mu, func() bool { return s.core.LeadsTo(to) }) {
			return false
		}
	}
	return true
}

// better returns the servers of a choice that the client may leave the present
// one for.
func (c *Client) better(choice Choice) []string {
	return with(c.core, (*clientcore.Session).Known).Better(choice.Better, c.ways)
}

// servers returns the last reports of the servers, by URI.
func (c *Client) servers() map[string]ServerInfo {
	infos := make(map[string]ServerInfo)
	for uri, s := range with(c.core, (*clientcore.Session).Known) {
		infos[uri] = serverInfo(&s)
	}
	return infos
}

// noteStanding tells the application of a changed state of the server, and
// returns the present one.
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

// lastWord is why the connection ended, with what the server had said before.
func (c *Client) lastWord(cn *conn, err error) error {
	if c.noteStanding(cn).Sync == SyncStopping {
		return fmt.Errorf("%w: %w", ErrStopping, err)
	}
	return err
}
