package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/logging"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// A controlRequest is a command of an operator to a running instance. It is a file in the directory
// of the journal: anybody who can write there controls the instance anyway, so no port has to tell
// operators from others. The instance removes the file before it executes the request, so that it
// never does so twice, and writes its reply to another file. It ignores and removes a request that
// is older than its start.
type controlRequest struct {
	ID     string   `json:"id"` // random
	Action string   `json:"do"`
	Args   []string `json:"args,omitempty"`
}

// A controlReply is the result of a control request.
type controlReply struct {
	ID   string `json:"id"` // of the request
	Done bool   `json:"done"`
	Text string `json:"text"`

	follow func() // what must be done after the reply was sent
}

// The actions of SendControl.
const (
	// ControlDeclareLost makes a decree: it declares that instances will not return, and that
	// acknowledged messages which only they had are lost. The arguments are the names of these
	// instances. server/DISASTER.md says when that is right.
	ControlDeclareLost = "lost"
	// ControlEndDecree ends the decree. It has no arguments.
	ControlEndDecree = "end-lost"
)

const (
	requestFile    = "order.json"
	replyFile      = "answer.json"
	maxControlFile = 64 << 10 // bytes
	controlPoll    = time.Second
	controlTimeout = 20 * time.Second // to execute a request
	replyPoll      = 50 * time.Millisecond
)

// ErrNotRunning reports that no instance runs with the configuration.
var ErrNotRunning = errors.New("no instance runs with this configuration: start it first")

// SendControl asks the instance that runs with cfg to do an action, such as ControlDeclareLost,
// ControlEndDecree, or one of the admin port (ActionSingle), and returns the text of its reply, for the operator. The request and the reply
// are files in cfg.Data. So SendControl works only on the machine of the instance, and with the
// right to write there. It needs no port and no password.
//
// The error is ErrNotRunning if no instance runs with cfg. It is the reply if the instance refuses
// the action. Another error says that a second request is under way, or that ctx ended before the
// reply came: it tells whether the request was withdrawn or may still take effect. Without a
// deadline of ctx, SendControl waits for as long as the instance does not answer.
func SendControl(ctx context.Context, cfg Config, action string, args ...string) (string, error) {
	cfg = cfg.withDefaults()
	if err := checkRunning(cfg); err != nil {
		return "", err
	}
	request := controlRequest{ID: fmt.Sprintf("%016x", rand.Uint64()), Action: action, Args: args}
	file := path.Join(cfg.Data, requestFile)
	if _, err := readFile(cfg.fs, file); err == nil {
		return "", errors.New("another control request waits in " + file + ": try again when the instance has answered it")
	}
	if err := writeJSON(cfg.fs, file, request); err != nil {
		return "", fmt.Errorf("write the control request: %w", err)
	}
	ticker := time.NewTicker(replyPoll)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			if err := cfg.fs.Remove(file); err == nil {
				return "", errors.New("the instance did not read the control request in time, so the request was withdrawn: the instance hangs, or it cannot read files of this user")
			}
			return "", errors.New("the instance read the control request but did not answer in time: see its log and status")
		}
		var reply controlReply
		text, err := readFile(cfg.fs, path.Join(cfg.Data, replyFile))
		if err != nil || json.Unmarshal(text, &reply) != nil || reply.ID != request.ID {
			continue
		}
		_ = cfg.fs.Remove(path.Join(cfg.Data, replyFile)) // if this fails, the next reply replaces it
		if !reply.Done {
			return "", errors.New(reply.Text)
		}
		return reply.Text, nil
	}
}

// checkRunning returns nil if an instance has the journal open, and ErrNotRunning if none has.
func checkRunning(cfg Config) error {
	lock, err := cfg.fs.Lock(cfg.Data)
	switch {
	case errors.Is(err, seglog.ErrLocked):
		return nil
	case err == nil:
		return errors.Join(ErrNotRunning, lock.Close())
	case errors.Is(err, fs.ErrNotExist):
		return ErrNotRunning
	}
	return err
}

// serveControl executes control requests until the instance stops.
func (s *Server) serveControl() {
	file := path.Join(s.cfg.Data, requestFile)
	_ = s.cfg.fs.Remove(file)
	ticker := time.NewTicker(controlPoll)
	defer ticker.Stop()
	var outage logging.Outage
	for {
		select {
		case <-ticker.C:
		case <-s.stopping:
			return
		}
		text, err := readFile(s.cfg.fs, file)
		if err == nil {
			err = s.handleControl(file, text)
		}
		switch {
		case err == nil || errors.Is(err, fs.ErrNotExist):
			outage.End(time.Since(s.started))
		case outage.Fail(time.Since(s.started)):
			s.log.Error("a control request cannot be read or answered", "error", err, "attempts", outage.Attempts())
		}
	}
}

func (s *Server) handleControl(file string, text []byte) error {
	if err := s.cfg.fs.Remove(file); err != nil {
		return err
	}
	var request controlRequest
	if err := json.Unmarshal(text, &request); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	ctx, cancel := context.WithTimeout(s.ctx, controlTimeout)
	defer cancel()
	reply := s.control(ctx, request, "")
	err := writeJSON(s.cfg.fs, path.Join(s.cfg.Data, replyFile), reply)
	reply.follow()
	return err
}

// control executes a control request that came from an address of the admin port, or from a file if
// the address is empty. The caller calls reply.follow when it has sent the reply.
func (s *Server) control(ctx context.Context, request controlRequest, address string) controlReply {
	s.log.Warn("a control request of the operator has arrived", "action", request.Action, "arguments", request.Args)
	reply := controlReply{ID: request.ID, Done: true, follow: func() {}}
	text, follow, err := s.executeControl(ctx, request)
	if reply.Text = text; err != nil {
		reply.Done, reply.Text = false, err.Error()
	} else if follow != nil {
		reply.follow = follow
	}
	s.log.Warn("a control request of the operator is answered", "action", request.Action, "done", reply.Done, "reply", reply.Text)
	s.audit.control(request, reply, address)
	if reply.Done {
		s.note(EventOperator, strings.Join(request.Args, " "), "an operator: "+request.Action)
	}
	return reply
}

// executeControl executes a control request and returns the text of the reply. follow is what must
// be done after the reply was sent; it may be nil.
func (s *Server) executeControl(ctx context.Context, request controlRequest) (text string, follow func(), err error) {
	if _, known := argOf[request.Action]; known {
		return s.executeAction(request)
	}
	text, err = s.executeDecree(ctx, request)
	return text, nil, err
}

// executeDecree makes or ends a decree.
func (s *Server) executeDecree(ctx context.Context, request controlRequest) (string, error) {
	links := s.links.Load()
	switch request.Action {
	case ControlDeclareLost:
		d, err := links.Decree(ctx, request.Args)
		if err != nil {
			return "", err
		}
		return decreeReply(d), nil
	case ControlEndDecree:
		d, err := links.EndDecree(ctx)
		return fmt.Sprintf("the decree of incarnation %d has ended: messages that are missing from now on are a publish gap again", d.Incarnation), err
	}
	return "", fmt.Errorf("this holdfastd does not know the action %q", request.Action)
}

// decreeReply describes the effect of a decree for the operator.
func decreeReply(d journal.Decree) string {
	return fmt.Sprintf("incarnation %d has begun, with %s. A publisher with acknowledged messages that are missing here continues at its next logon, once; "+
		"it and its subscribers are told which messages are lost. The decree ends after %v, or with 'holdfastd lost -end': end it when 'holdfast status' "+
		"lists no publisher that has not been seen since. The losses of publishers that never return stay unknown.",
		d.Incarnation, strings.Join(d.Members, ", "), journal.DecreeLifetime)
}

// readFile reads a file of at most maxControlFile bytes.
func readFile(disk seglog.FS, name string) ([]byte, error) {
	f, err := disk.OpenFile(name, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > maxControlFile {
		return nil, fmt.Errorf("%s has %d bytes: the maximum is %d", name, size, maxControlFile)
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil && size > 0 {
		return nil, err
	}
	return b, nil
}

// writeJSON writes a file atomically, by a rename. Only its owner may read it.
func writeJSON(disk seglog.FS, name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := disk.OpenFile(name+".new", os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return disk.Rename(name+".new", name)
}
