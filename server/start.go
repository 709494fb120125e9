package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"syscall"
	"time"

	"github.com/holdfast-mq/holdfast/internal/fileversion"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/replica"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/signal"
	"github.com/holdfast-mq/holdfast/internal/topic"
)

// formatVersion is the version of the formats of links and journals.
const formatVersion = 1

// Start binds the ports, opens the journal and starts the links. It serves clients later, once
// Ready is closed. An error may be a *ConfigError (or several joined), *DiskError, *DamagedError or
// *VersionError. The caller stops the server with Shutdown or Close. It can also end by itself, see
// Done.
func Start(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate("", nil); err != nil {
		return nil, err
	}
	files, err := openFiles(&cfg)
	if err != nil {
		return nil, err
	}
	s := &Server{
		ports:        ports{admin: http.NewServeMux()},
		observations: observations{surveys: newTurn()},
		security:     security{files: files, origins: http.NewCrossOriginProtection(), handshakes: newHandshakeSlots()},
		cfg:          cfg,
		instance: &servercore.Instance{
			Name: cfg.Name, Version: "5.3.5.0.holdfast-" + cfg.Version, // its beginning must be numeric
			Run: rand.Uint64(), MaxMessage: int(cfg.MaxMessage), Registry: servercore.NewRegistry(maxSessions()),
			Limits: cfg.Limits.core(),
		},
		space:     space{wake: signal.New()},
		started:   time.Now(),
		lifecycle: newLifecycle(),
	}
	s.settings = cfg.settings()
	s.logs, s.log = startLogQueue(cfg.Logger.With("instance", cfg.Name), cfg.Logging.level())
	s.log.Info("the instance starts", "version", cfg.Version, "file", cfg.file, "settings", s.settings)
	s.instance.Now = time.Now
	s.instance.Full = s.space.full.Load
	s.instance.Stopping = s.isStopping
	s.instance.OnRefused = s.noteRefused
	s.instance.Behind = s.behind
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.start(); err != nil {
		s.cancel()
		s.logs.close()
		return nil, err
	}
	return s, nil
}

// start performs all steps that can fail, bottom up. If one fails it undoes the earlier ones.
func (s *Server) start() (err error) {
	var undo []func()
	defer func() {
		if err == nil {
			return
		}
		for _, f := range slices.Backward(undo) {
			f()
		}
	}()
	if err := s.compileTopics(); err != nil {
		return err
	}
	if a := s.cfg.Authorizer; a != nil {
		s.permissions.version = a.Version()
	}
	s.warnForeignWildcards()
	s.warnOfClearText()
	s.warnOfInsecure()
	if err := s.bind(&undo); err != nil {
		return err
	}
	if err := s.openJournal(); err != nil {
		return err
	}
	undo = append(undo, func() { s.journal.Close() })
	if err := s.openAudit(); err != nil { // after the lock of the journal: no other process has the file
		return err
	}
	undo = append(undo, s.audit.close)
	s.note(EventStarted, "", "the journal is open")
	if _, err := replica.Start(s.linkOptions()); err != nil {
		return fmt.Errorf("server: start the links: %w", err)
	}
	s.serveAdmin()
	go s.supervise()
	return nil
}

// compileTopics compiles the patterns of the logged topics and of the topics of each destination.
func (s *Server) compileTopics() error {
	var err error
	if s.instance.Logged, err = topic.NewSet(s.cfg.Log.Topics); err != nil {
		return fmt.Errorf("server: log.topics: %w", err)
	}
	if s.cfg.Replication == nil {
		return nil
	}
	for _, d := range s.cfg.Replication.Destinations {
		set, err := topic.NewSet(d.Topics)
		if err != nil {
			return fmt.Errorf("server: topics of destination %s: %w", d.Name, err)
		}
		s.destinationTopics = append(s.destinationTopics, set)
	}
	return nil
}

// bind binds the ports. The client port is bound here too, although it is served later, so that a
// start which cannot succeed fails immediately.
func (s *Server) bind(undo *[]func()) error {
	listen := func(what, address string) (net.Listener, error) {
		if address == "" {
			return nil, nil
		}
		l, err := s.cfg.Listen(address)
		if err != nil {
			if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, wsaEADDRINUSE) {
				err = fmt.Errorf("%w (another process listens there)", err)
			}
			return nil, fmt.Errorf("server: listen for %s at %s: %w", what, address, err)
		}
		*undo = append(*undo, func() { l.Close() })
		return l, nil
	}
	var err error
	if s.cfg.Replication != nil {
		if s.replicationListener, err = listen("replication", s.cfg.Replication.Listen); err != nil {
			return err
		}
	}
	if s.clientListener, err = listen("clients", s.cfg.Clients.Listen); err != nil {
		return err
	}
	s.adminListener, err = listen("admin", s.cfg.Admin.Listen)
	return err
}

// wsaEADDRINUSE is the error number on Windows. No other system uses it.
const wsaEADDRINUSE = syscall.Errno(10048)

// openJournal opens the journal. It accepts damage if a peer may heal it, or with AcceptDamage.
func (s *Server) openJournal() error {
	s.trimBeforeOpen()
	lone, begun := s.cfg.Replication == nil, s.started
	opening := time.Now()
	j, err := journal.Open(journal.Options{
		Now:          s.cfg.Now,
		Elapsed:      func() time.Duration { return time.Since(begun) },
		FS:           s.cfg.fs,
		Dir:          s.cfg.Data,
		SegmentBytes: int64(s.cfg.Log.Segment),
		Log:          s.log,
		OnDurable:    s.onDurable,
		OnAppend:     s.onAppend,
		OnSegment:    s.onSegment,
		OnFail:       func(err error) { s.stopWithError(&DiskError{err}) },
		SetAside:     !lone || s.cfg.AcceptDamage,
		Carried:      s.carries,
		SyncTimes:    &s.syncTimes,
	})
	if err != nil {
		return s.openError(err)
	}
	s.journal = j
	s.logRecovered(time.Since(opening))
	s.instance.Publishers = j.Publishers
	s.checkSpace()
	s.keepReserve()
	if lone && j.Damage() != nil {
		s.log.Error("clients are served from a damaged journal, since damage is accepted", "error", j.Damage())
		if err := j.FinishMerge(); err != nil {
			j.Close()
			return &DiskError{err}
		}
	}
	return nil
}

// logRecovered logs what the journal has found on the disk.
func (s *Server) logRecovered(took time.Duration) {
	r, lastWrite := s.journal.Recovered(), s.journal.LastWrite()
	previous, newest := s.takeStopMark(lastWrite), ""
	if !lastWrite.IsZero() {
		newest = lastWrite.UTC().Format(time.RFC3339Nano)
	}
	s.log.Info("the journal is open", "previous", previous, "last_write", newest, "dir", s.cfg.Data, "bytes", s.journal.Size(), "segments", r.Segments, "publishers", s.journal.Publishers(),
		"records", r.Records, "torn_bytes", r.Torn, "unsynced_bytes", r.Unsynced, "duration", took)
	if d := s.journal.Damage(); d != nil {
		s.log.Error("the journal is damaged: the peers replace what is missing", "error", d)
	}
}

// openError classifies an error of opening the journal. It blames the disk only if neither the
// configuration nor another process is the cause.
func (s *Server) openError(err error) error {
	var damage *seglog.DamageError
	var newer *fileversion.VersionError
	var at *fs.PathError
	switch {
	case errors.As(err, &newer):
		return &VersionError{newer}
	case errors.As(err, &damage):
		return &DamagedError{err}
	case errors.Is(err, syscall.ENOTDIR) && errors.As(err, &at):
		return &ConfigError{Field: "data", Text: at.Path + " is not a directory"}
	case errors.Is(err, journal.ErrNotJournal):
		return &ConfigError{Field: "data", Text: s.cfg.Data + " is not a journal: it is the directory of something else"}
	case errors.Is(err, seglog.ErrLocked):
		return fmt.Errorf("server: open the journal in %s: %w (is another holdfastd using this data directory?)", s.cfg.Data, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("server: open the journal in %s: %w", s.cfg.Data, err)
	}
	return &DiskError{fmt.Errorf("open the journal in %s: %w", s.cfg.Data, err)}
}

// carries reports whether every destination gets this topic.
func (s *Server) carries(topic []byte) bool {
	for _, set := range s.destinationTopics {
		if !set.Contains(topic) {
			return false
		}
	}
	return true
}

// linkOptions returns the options of the links.
func (s *Server) linkOptions() replica.Options {
	o := replica.Options{
		Name: s.cfg.Name, Group: cmp.Or(s.cfg.Group, s.cfg.Name),
		Digest:         s.digest(),
		Run:            s.instance.Run,
		Journal:        s.journal,
		Listener:       s.replicationListener,
		Dial:           s.cfg.Dial,
		Bootstrap:      s.cfg.Bootstrap,
		MinSync:        s.cfg.MinSync,
		HoldBytes:      int64(s.cfg.Hold),
		RejoinTimeout:  time.Duration(s.cfg.RejoinTimeout),
		Wall:           s.cfg.Now,
		Log:            s.linkLog(),
		DiskNearlyFull: s.space.linksFull.Load,
		OnWatermark:    s.instance.Registry.WatermarksMoved,
		OnSyncStatus:   s.instance.Registry.WakeAll,
		OnNotice:       s.instance.OnNotice,
		OnStart: func(l *replica.Links) { // before the first notice of a peer arrives
			s.instance.Ledger = l.Ledger()
			s.instance.MayReject = l.MayReject
			s.links.Store(l)
		},
		OnReceived: s.instance.Registry.RecordsReceived,
		OnDiverged: s.instance.Registry.PublishersDiverged,
		OnClosed:   s.instance.Registry.PublishersClosed,
		OnRefused:  s.audit.linkRefused,
		OnEvent:    s.noteLinkEvent,
		// The clients continue at another instance. This one accepts no logon any more.
		OnOutdated: func() { s.eachSession((*servercore.Session).Stop) },
	}
	if a := s.cfg.Authorizer; a != nil {
		o.Permissions = func() (version uint64, hash [32]byte) {
			v := a.Version()
			return v.Number, v.Hash
		}
	}
	if s.cfg.Replication == nil {
		return o
	}
	o.Peers, o.Secrets = s.cfg.Replication.Peers, s.files.secrets
	s.secureLinks(&o)
	for _, d := range s.cfg.Replication.Destinations {
		o.Destinations = append(o.Destinations, replica.Destination{
			Name: d.Name, Address: d.Address, Sync: d.Ack != "async", Topics: d.Topics,
			DowngradeAfter: time.Duration(d.DowngradeAfter), UpgradeWithin: time.Duration(d.UpgradeWithin),
		})
	}
	return o
}

// digest describes the settings that decide which messages are rejected. Links compare it, so that
// a group rejects alike (R14).
func (s *Server) digest() string {
	topics := slices.Sorted(slices.Values(s.cfg.Log.Topics))
	return fmt.Sprintf("format=%d group=%s topics=%q max=%d topic=%d", formatVersion, s.cfg.Group, topics, int64(s.cfg.MaxMessage), int64(s.cfg.Limits.Topic))
}

// onAppend reports a record in the journal to the links.
func (s *Server) onAppend(publisher, sequence uint64) {
	if l := s.links.Load(); l != nil {
		l.Appended(publisher, sequence)
	}
}

// onDurable reports the records that an fsync covered to the links, and wakes the sessions.
func (s *Server) onDurable(moved []journal.Advance, idle bool) {
	if l := s.links.Load(); l != nil {
		l.Durable(moved, idle)
	}
	s.instance.DurableMoved()
}
