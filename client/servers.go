package client

import "github.com/holdfast-mq/holdfast/internal/clientcore"

// acceptable returns an error if the client must leave a server that has accepted the logon: a
// bookmark subscription must not move to it (R3), or the chooser refuses it.
func (c *Client) acceptable(cn *conn, choice Choice) error {
	switch {
	case !c.canMoveTo(&cn.server):
		c.stats.change(func(s *Stats) { s.AsyncRefusals++ })
		return ErrAsyncPath
	case choice.Accept != nil:
		return choice.Accept(cn.info)
	}
	return nil
}

// canMoveTo reports whether all bookmark subscriptions may continue on a server.
func (c *Client) canMoveTo(to *clientcore.Server) bool {
	for _, s := range c.subscriptions() {
		if !withLock(&s.mu, func() bool { return s.core.CanMoveTo(to) }) {
			return false
		}
	}
	return true
}

// moveTargets returns those servers of choice.Preferred that the client may move to.
func (c *Client) moveTargets(choice Choice) []string {
	return withCore(c.core, (*clientcore.Session).ServerReports).Better(choice.Preferred, c.canMoveTo)
}

// knownServers returns the latest known state of each server, by URI.
func (c *Client) knownServers() map[string]ServerInfo {
	infos := make(map[string]ServerInfo)
	for uri, s := range withCore(c.core, (*clientcore.Session).ServerReports) {
		infos[uri] = serverInfo(&s)
	}
	return infos
}

// reportSyncChange reports a change of the server's sync status to the application. It returns the
// present state of the server.
func (c *Client) reportSyncChange(cn *conn) ServerInfo {
	s := withCore(c.core, (*clientcore.Session).Server)
	info := serverInfo(&s)
	if info.Sync == cn.reportedSync {
		return info
	}
	cn.reportedSync = info.Sync
	c.stats.change(func(s *Stats) { s.Server = info })
	c.cfg.Logger.Debug("the replication of the server has changed", "server", info.Server, "instance", info.Instance, "sync", info.Sync)
	callHook(c.cfg.Hooks.ServerChanged, info)
	return info
}

// closeReason adds ErrServerStopping to the reason why a connection ended, if the server had
// announced that it stops.
func (c *Client) closeReason(cn *conn, err error) error {
	if c.reportSyncChange(cn).Sync == SyncStopping {
		return asStopping(err)
	}
	return err
}
