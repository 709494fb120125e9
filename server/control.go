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
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// An controlRequest is a command of an operator to a running instance. It is a file in the directory of the
// journal: anybody who can write there controls the instance anyway, and so no port must tell
// operators from others. The instance removes the file before it carries out the order, so that it
// never does so twice, and writes its answer to another file. It ignores and removes an order that
// is older than its start.
type controlRequest struct {
	ID     string   `json:"id"` // random
	Action string   `json:"do"`
	Args   []string `json:"args,omitempty"`
}

// An controlReply is the result of an order.
type controlReply struct {
	ID   string `json:"id"` // of the order
	Done bool   `json:"done"`
	Text string `json:"text"`
}

// The values of order.Action.
const (
	ControlDeclareLost = "lost"     // declare a loss by a decree (R4); the arguments are the instances that will not return
	ControlEndDecree   = "end-lost" // end the decree
)

const (
	requestFile    = "order.json"
	replyFile      = "answer.json"
	maxControlFile = 64 << 10 // bytes
	controlPoll    = time.Second
	controlTimeout = 20 * time.Second // to carry out an order
	replyPoll      = 50 * time.Millisecond
)

// ErrNotRunning reports that no instance runs with the configuration.
var ErrNotRunning = errors.New("no instance runs with this configuration: start it first")

// SendControl gives an order (ControlDeclareLost or ControlEndDecree) to the instance that runs with cfg, waits
// for the answer and returns it. The wait ends with ctx. Errors are complete sentences for the
// operator.
func SendControl(ctx context.Context, cfg Config, do string, args ...string) (string, error) {
	cfg = cfg.withDefaults()
	if err := checkRunning(cfg); err != nil {
		return "", err
	}
	o := controlRequest{ID: fmt.Sprintf("%016x", rand.Uint64()), Action: do, Args: args}
	file := path.Join(cfg.Data, requestFile)
	if _, err := readFile(cfg.fs, file); err == nil {
		return "", errors.New("another order waits in " + file)
	}
	if err := writeJSON(cfg.fs, file, o); err != nil {
		return "", fmt.Errorf("give the order: %w", err)
	}
	look := time.NewTicker(replyPoll)
	defer look.Stop()
	for {
		select {
		case <-look.C:
		case <-ctx.Done():
			if err := cfg.fs.Remove(file); err == nil {
				return "", errors.New("the instance did not take the order in time, and it was taken back: it hangs, or may not read what this user writes")
			}
			return "", errors.New("the instance took the order and did not answer in time: see its log and status")
		}
		var a controlReply
		text, err := readFile(cfg.fs, path.Join(cfg.Data, replyFile))
		if err != nil || json.Unmarshal(text, &a) != nil || a.ID != o.ID {
			continue
		}
		_ = cfg.fs.Remove(path.Join(cfg.Data, replyFile)) // if this fails, the next answer replaces it
		if !a.Done {
			return "", errors.New(a.Text)
		}
		return a.Text, nil
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

// serveControl carries out orders until the instance stops.
func (s *Server) serveControl() {
	file := path.Join(s.cfg.Data, requestFile)
	_ = s.cfg.fs.Remove(file)
	look := time.NewTicker(controlPoll)
	defer look.Stop()
	for {
		select {
		case <-look.C:
		case <-s.stopping:
			return
		}
		text, err := readFile(s.cfg.fs, file)
		if err == nil {
			err = s.handleControl(file, text)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.log.Error("taking an order", "error", err)
		}
	}
}

func (s *Server) handleControl(file string, text []byte) error {
	if err := s.cfg.fs.Remove(file); err != nil {
		return err
	}
	var o controlRequest
	if err := json.Unmarshal(text, &o); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	ctx, cancel := context.WithTimeout(s.ctx, controlTimeout)
	defer cancel()
	s.log.Warn("an operator orders", "do", o.Action, "args", o.Args)
	a := controlReply{ID: o.ID, Done: true}
	var err error
	if a.Text, err = s.executeControl(ctx, o); err != nil {
		a.Done, a.Text = false, err.Error()
	}
	s.log.Warn("the order is answered", "do", o.Action, "done", a.Done, "answer", a.Text)
	return writeJSON(s.cfg.fs, path.Join(s.cfg.Data, replyFile), a)
}

// executeControl carries out an order and returns the answer.
func (s *Server) executeControl(ctx context.Context, o controlRequest) (string, error) {
	links := s.links.Load()
	switch o.Action {
	case ControlDeclareLost:
		d, err := links.Decree(ctx, o.Args)
		if err != nil {
			return "", err
		}
		return decreeReply(d), nil
	case ControlEndDecree:
		d, err := links.EndDecree(ctx)
		return fmt.Sprintf("the decree of incarnation %d has ended: what is missing from now on is a gap again", d.Incarnation), err
	}
	return "", fmt.Errorf("this holdfastd knows no order %q", o.Action)
}

// decreeReply describes the effect of a decree for the operator.
func decreeReply(d journal.Decree) string {
	return fmt.Sprintf("incarnation %d has begun, with %s. A publisher that lacks acknowledged messages here goes on when it logs on, once; "+
		"what is lost is told to it and to its subscribers. The decree ends after %v, or with --end: end it when 'holdfast status' "+
		"lists no publisher that was not seen since. What publishers have lost that never come back is not known.",
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
		return nil, fmt.Errorf("%s has %d bytes, at most %d are read", name, size, maxControlFile)
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
