package server

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-mq/holdfast/internal/audit"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// AuditConfig describes the audit log: a record of logons, refusals and changes, apart from the
// log. AUDIT.md in the directory of this package lists the events. An instance never waits for its
// audit log: lines that cannot be written are dropped and counted.
type AuditConfig struct {
	// File is the file of the audit log, one JSON object per line. Its directory must exist. Each
	// instance needs a file of its own, outside of its journal. Default: no file.
	File string `yaml:"file"`
	// MaxSize is the size up to which lines are added to the file. Then it is renamed to FILE.1, an
	// older FILE.1 to FILE.2, and so on. Default 64 MiB.
	MaxSize Size `yaml:"max_size"`
	// Keep is the number of older files to keep. Default 4.
	Keep Count `yaml:"keep"`
	// Logger receives the events, too: the event is the message. One goroutine calls its handler,
	// which may block; then lines are dropped, also for File. Default: none.
	Logger *slog.Logger `yaml:"-"`
}

func defaultAudit() AuditConfig { return AuditConfig{MaxSize: 64 << 20, Keep: 4} }

func (c AuditConfig) withDefaults() AuditConfig {
	d := defaultAudit()
	orDefault(&c.MaxSize, d.MaxSize)
	orDefault(&c.Keep, d.Keep)
	return c
}

func (k *configChecker) audit(c *Config) {
	a, d := c.Audit, defaultAudit()
	switch {
	case a.File == "" && (a.MaxSize != d.MaxSize || a.Keep != d.Keep):
		k.addProblem("audit.file", "is missing: name the file of the audit log")
	case a.File != "" && filepath.Dir(filepath.Clean(a.File)) == filepath.Clean(c.Data):
		k.addProblem("audit.file", "is in the directory of the journal: choose another directory")
	}
	checkRange(k, "audit.max_size", a.MaxSize, 64<<10, 1<<40)
	checkRange(k, "audit.keep", a.Keep, 1, 1000)
}

// An auditEvent is the name of an event in the audit log.
type auditEvent string

// The events. AUDIT.md describes them and their keys.
const (
	auditLogon              auditEvent = "logon"
	auditLogonRefused       auditEvent = "logon_refused"
	auditLogoff             auditEvent = "logoff"
	auditPublishRefused     auditEvent = "publish_refused"
	auditSubscribeRefused   auditEvent = "subscribe_refused"
	auditLimit              auditEvent = "limit"
	auditPermissionsChanged auditEvent = "permissions_changed"
	auditSessionEnded       auditEvent = "session_ended"
	auditControl            auditEvent = "control"
	auditControlRefused     auditEvent = "control_refused"
	auditLinkRefused        auditEvent = "link_refused"
	auditReload             auditEvent = "reload"
	auditDropped            auditEvent = audit.Dropped
)

// maxAuditValue is the longest text in a line of the audit log, in bytes.
const maxAuditValue = 512

// An auditor writes the events of one instance. It is safe for concurrent use, and its methods do
// not block, except close. A nil auditor writes nothing.
type auditor struct{ log *audit.Log }

// openAudit opens the audit log if there is one.
func (s *Server) openAudit() error {
	var handlers []slog.Handler
	release := func() error { return nil }
	if name := s.cfg.Audit.File; name != "" {
		f, err := audit.OpenFile(s.cfg.fs, name, int64(s.cfg.Audit.MaxSize), int(s.cfg.Audit.Keep))
		if misplaced(err) {
			return &ConfigError{Field: "audit.file", Text: fmt.Sprintf("cannot be opened: %v", err)}
		}
		// After any other error, such as a full disk, the next line opens the file.
		handlers, release = append(handlers, f.Handler()), f.Close
	}
	if l := s.cfg.Audit.Logger; l != nil {
		handlers = append(handlers, l.Handler())
	}
	if len(handlers) == 0 {
		return nil
	}
	handler := slog.NewMultiHandler(handlers...).WithAttrs([]slog.Attr{slog.String("instance", s.cfg.Name)})
	s.audit = &auditor{audit.Start(handler, s.log, release)}
	s.instance.OnEvent = s.auditEvent
	return nil
}

// misplaced reports whether a file cannot be opened because of its name or directory, so that the
// configuration must be changed.
func misplaced(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, seglog.ErrNotFile) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EROFS)
}

// close writes the lines that wait, for a second at most.
func (a *auditor) close() {
	if a != nil {
		a.log.Close()
	}
}

// dropped returns the number of lines that are missing in the audit log.
func (a *auditor) dropped() uint64 {
	if a == nil {
		return 0
	}
	return a.log.Dropped()
}

// write writes an event.
func (a *auditor) write(event auditEvent, attrs ...slog.Attr) {
	if a != nil {
		a.log.Add(auditRecord(event, attrs))
	}
}

// writeOnce writes an event unless the same one came within the last minute. source caused it;
// detail tells the events of one source apart.
func (a *auditor) writeOnce(source, detail string, event auditEvent, attrs ...slog.Attr) {
	if a != nil {
		a.log.AddOnce(truncate(source, maxAuditValue), truncate(detail, maxAuditValue), auditRecord(event, attrs))
	}
}

// auditRecord returns a record with bounded texts.
func auditRecord(event auditEvent, attrs []slog.Attr) slog.Record {
	r := slog.NewRecord(time.Now(), slog.LevelInfo, string(event), 0)
	for _, a := range attrs {
		if a.Value.Kind() == slog.KindString {
			a.Value = slog.StringValue(truncate(a.Value.String(), maxAuditValue))
		}
		r.AddAttrs(a)
	}
	return r
}

// reload writes that files were read again: which ones, and why they cannot be used if err is not
// nil.
func (a *auditor) reload(what string, err error) {
	attrs := []slog.Attr{slog.String("what", what), slog.Bool("done", err == nil)}
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	a.write(auditReload, attrs...)
}

// control writes a control request with its result. The address is empty if it came as a file.
func (a *auditor) control(request controlRequest, reply controlReply, address string) {
	a.write(auditControl, slog.String("action", request.Action), slog.String("arguments", strings.Join(request.Args, " ")),
		slog.String("address", address), slog.Bool("done", reply.Done), slog.String("reply", reply.Text))
}

// controlRefused writes that somebody who must not act has tried to, over the admin port.
func (a *auditor) controlRefused(address, reason string) {
	source := address
	if host, _, err := net.SplitHostPort(address); err == nil {
		source = host
	}
	a.writeOnce(source, reason, auditControlRefused, slog.String("address", address), slog.String("reason", reason))
}

// linkRefused writes a link that this instance or the peer has refused.
func (a *auditor) linkRefused(peer, address string, reason error) {
	source := address
	if host, _, err := net.SplitHostPort(address); err == nil {
		source = host
	}
	a.writeOnce(source, peer+"\x00"+reason.Error(), auditLinkRefused,
		slog.String("peer", peer), slog.String("address", address), slog.String("reason", reason.Error()))
}

// turnedAway writes that a connection from a network was closed because there are too many.
func (a *auditor) turnedAway(source string, conn net.Conn, reason string) {
	if a != nil {
		a.writeOnce(source, reason, auditLimit, who("", "", conn.RemoteAddr().String(), slog.String("reason", reason))...)
	}
}

// who returns the attributes of an event of a client.
func who(user, client, address string, more ...slog.Attr) []slog.Attr {
	return append([]slog.Attr{slog.String("user", user), slog.String("client", client), slog.String("address", address)}, more...)
}

// auditEvent writes an event of a session.
func (s *Server) auditEvent(c *servercore.Session, e servercore.Event) {
	conn := c.Driver().(*session)
	switch e.Kind {
	case servercore.EventLogon:
		info, _ := c.Info()
		s.audit.write(auditLogon, conn.who(slog.Bool("tls", conn.logon().TLS != nil), slog.Bool("extended", info.Extended))...)
	case servercore.EventPermissionsChange:
		s.audit.write(auditSessionEnded, conn.who(slog.String("reason", e.Reason))...)
	case servercore.EventLimit:
		conn.auditOnce(auditLimit, e.Topic, e.Reason)
	case servercore.EventPublishRefused:
		conn.auditOnce(auditPublishRefused, e.Topic, e.Reason)
	case servercore.EventSubscribeRefused:
		conn.auditOnce(auditSubscribeRefused, e.Topic, e.Reason)
	}
}

// auditOnce writes that a command was refused.
func (s *session) auditOnce(event auditEvent, topic, reason string) {
	s.srv.audit.writeOnce(s.auditSource(), topic+"\x00"+reason, event, s.who(slog.String("topic", topic), slog.String("reason", reason))...)
}

// auditSource returns the source of events: the user, or the network of the client if the instance
// has no users.
func (s *session) auditSource() string {
	if user, ok := s.core.User(); ok {
		return "user " + user
	}
	return s.source
}

// who returns the attributes of an event of the session's client.
func (s *session) who(more ...slog.Attr) []slog.Attr {
	info, loggedOn := s.core.Info()
	if !loggedOn {
		info.User, _ = s.core.User()
	}
	return who(info.User, info.ClientName, s.conn.RemoteAddr().String(), more...)
}

// auditEnd writes that a session has ended: the logoff of a client, or a connection that made room
// for another one.
func (s *session) auditEnd() {
	if s.srv.audit == nil {
		return
	}
	reason := s.core.Reason()
	switch {
	case s.core.LoggedOn():
		s.srv.audit.write(auditLogoff, s.who(slog.Int64("duration_ms", time.Since(s.connectedAt).Milliseconds()), slog.String("reason", reason))...)
	case reason == servercore.ReasonEvicted:
		s.srv.audit.turnedAway(s.source, s.conn, reason)
	}
}

// auditRefusal writes that the logon in s.msg was refused. cause is the error with which the reader
// has ended, or that of the authenticator.
func (s *session) auditRefusal(cause error) {
	reason := cause.Error()
	if refused, ok := errors.AsType[*servercore.RefusedError](cause); ok {
		reason = refused.Reason
	}
	user, known := s.core.User()
	if !known {
		user = string(s.msg.UserID)
	}
	s.srv.noteLogonRefused(user, cause)
	attrs := who(user, string(s.msg.ClientName), s.conn.RemoteAddr().String(), slog.String("reason", reason))
	s.srv.audit.writeOnce(s.source, user+"\x00"+reason, auditLogonRefused, attrs...)
	if reason == wire.ReasonTooManySessions || reason == wire.ReasonTooManyPublishers {
		s.srv.audit.writeOnce(s.auditSource(), reason, auditLimit, attrs...)
	}
}
