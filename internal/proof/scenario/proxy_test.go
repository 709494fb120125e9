package scenario_test

import (
	"context"
	"encoding/binary"
	"io"
	"sync"

	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A tamper returns the acks to pass on in place of a persisted ack.
type tamper func(wire.AckMessage) []wire.AckMessage

// tampers are the ways in which acks can be strange.
func tampers() map[string]func() tamper {
	return map[string]func() tamper{
		"twice": func() tamper {
			return func(a wire.AckMessage) []wire.AckMessage { return []wire.AckMessage{a, a} }
		},
		"late": func() tamper {
			var late []wire.AckMessage
			return func(a wire.AckMessage) []wire.AckMessage {
				late = append(late, a)
				return append([]wire.AckMessage{a}, late...)
			}
		},
		"beyond": func() tamper {
			return func(a wire.AckMessage) []wire.AckMessage {
				beyond := a
				beyond.Sequence += 1000
				return []wire.AckMessage{a, beyond}
			}
		},
	}
}

// proxy starts a host between clients and an instance that passes acks of
// publishes on twice, late again after each younger one, or once more with a
// number far beyond: proxy middle A acks=twice.
func (w *world) proxy(c *command) string {
	w.TB.Helper()
	name, to := c.name(0), c.name(1)
	kind := tampers()[c.option("acks", "")]
	if kind == nil {
		c.fail("acks are passed on twice, late or beyond")
	}
	p := &proxy{w: w, name: name, to: to, tamper: kind()}
	listener, err := w.Net.Host(name).Listen(name + ":9007")
	if err != nil {
		c.fail("%v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.running.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.pass(ctx, near) })
		}
	})
	w.proxies = append(w.proxies, func() {
		cancel()
		w.Net.Kill(name)
		p.running.Wait()
	})
	return ""
}

// A proxy is a host between clients and an instance.
type proxy struct {
	w        *world
	name, to string
	tamper   tamper
	running  sync.WaitGroup
}

// pass carries one connection.
func (p *proxy) pass(ctx context.Context, near io.ReadWriteCloser) {
	defer near.Close()
	far, err := p.w.Net.Host(p.name).Dial(ctx, p.to+":9007")
	if err != nil {
		return
	}
	p.running.Go(func() {
		defer far.Close()
		_, _ = io.Copy(far, near) // its end is the connection's
	})
	in := wire.NewReader(far, wire.MaxFrame)
	for {
		frame, err := in.Next()
		if err != nil {
			return
		}
		if _, err := near.Write(p.back(frame)); err != nil {
			return
		}
	}
}

// back returns the frames to pass on for a frame from the instance.
func (p *proxy) back(frame []byte) []byte {
	out := append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)
	var m wire.Message
	if err := wire.Parse(frame, &m); err != nil {
		return out
	}
	if m.Command != wire.Ack || m.Acks&wire.AckPersisted == 0 || !m.HasSequence || len(m.SubID) > 0 {
		return out
	}
	out = out[:0]
	ack := wire.AckMessage{
		Type: wire.AckPersisted, Success: string(m.Status) == wire.StatusSuccess, Reason: string(m.Reason),
		Sequence: m.Sequence, HasSequence: true, Single: string(m.Level) == wire.LevelSingle,
	}
	for _, a := range p.tamper(ack) {
		out = a.AppendTo(out)
	}
	return out
}
