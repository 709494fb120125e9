package replica

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// A proof is valid for one side of one connection, and for the hellos sent on it.
func TestHandshake(t *testing.T) {
	otherSecret := bytes.Repeat([]byte{8}, SecretBytes)
	begin := func(secret []byte, dialled bool, ours, theirs byte) *authenticator {
		a := newAuthenticator([][]byte{secret}, dialled, nonce{ours})
		a.setPeerNonce(nonce{theirs})
		return a
	}
	d, a := begin(testSecret, true, 1, 2), begin(testSecret, false, 2, 1)
	check := func(name string, a *authenticator, proof []byte, want error) {
		t.Helper()
		if err := a.verify(proof); err != want {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	for step, hello := range []string{"", "of the dialler", "of the other"} {
		if hello != "" {
			d.addHello([]byte(hello))
			a.addHello([]byte(hello))
		}
		check("good", a, d.prove(), nil)
		check("good", d, a.prove(), nil)
		check("reflected", a, a.prove(), errNotProven)
		check("reflected", d, d.prove(), errNotProven)
		for name, other := range map[string]*authenticator{
			"other secret": begin(otherSecret, true, 1, 2), "no secret": begin(nil, true, 1, 2),
			"replayed, our nonce is new": begin(testSecret, true, 1, 3), "replayed, theirs is": begin(testSecret, true, 3, 2),
			"nonces swapped": begin(testSecret, true, 2, 1),
		} {
			for _, hello := range []string{"of the dialler", "of the other"}[:step] {
				other.addHello([]byte(hello))
			}
			check(name, a, other.prove(), errNotProven)
		}
		check("empty", a, nil, errNotProven)
		check("truncated", a, d.prove()[:16], errNotProven)
	}
	early, changed := begin(testSecret, true, 1, 2), begin(testSecret, true, 1, 2)
	check("from before the hellos", a, early.prove(), errNotProven)
	changed.addHello([]byte("of the dialler"))
	changed.addHello([]byte("of another"))
	check("another hello", a, changed.prove(), errNotProven)
}

// While the secret is replaced, two sides agree on one that both have, whichever has dialled and
// whatever their order is.
func TestTwoSecrets(t *testing.T) {
	one, two, three := bytes.Repeat([]byte{1}, SecretBytes), bytes.Repeat([]byte{2}, SecretBytes), bytes.Repeat([]byte{3}, SecretBytes)
	for _, tt := range []struct {
		dialler, dialled [][]byte
		ok               bool
	}{
		{[][]byte{one}, [][]byte{one, two}, true},
		{[][]byte{two}, [][]byte{one, two}, true},
		{[][]byte{one, two}, [][]byte{one}, true},
		{[][]byte{one, two}, [][]byte{two}, true},
		{[][]byte{one, two}, [][]byte{two, one}, true},
		{[][]byte{one, two}, [][]byte{two, three}, true},
		{[][]byte{one, two}, [][]byte{three}, false},
		{[][]byte{three}, [][]byte{one, two}, false},
		{nil, [][]byte{one, two}, false},
		{[][]byte{one, two}, nil, false},
	} {
		d, a := newAuthenticator(tt.dialler, true, nonce{1}), newAuthenticator(tt.dialled, false, nonce{2})
		d.setPeerNonce(nonce{2})
		a.setPeerNonce(nonce{1})
		err := d.verify(a.prove())
		if (err == nil) != tt.ok {
			t.Errorf("the dialler with %x takes a proof of %x: %v", tt.dialler, tt.dialled, err)
		}
		if err != nil {
			continue
		}
		if err := a.verify(d.prove()); err != nil || len(d.prove()) != macBytes || !bytes.Equal(a.prove(), a.proof(d.secrets[0], false)) {
			t.Errorf("%x and %x do not continue with one secret: %v", tt.dialler, tt.dialled, err)
		}
	}
}

// secretive starts an instance whose group and digest would be recognizable in its frames.
func secretive(w *world, secret []byte, dests []Destination, peers ...string) *instance {
	a := w.instance("a", func(o *Options) {
		o.Group, o.Digest, o.Secrets, o.Destinations, o.Peers = "the-group", "the-digest", FixedSecret(secret), dests, peers
	})
	a.start()
	return a
}

// frames reads all frames until the connection ends.
func frames(t *testing.T, nc net.Conn) (all []frameType, text string) {
	t.Helper()
	stream, err := io.ReadAll(nc)
	if err != nil && !strings.Contains(err.Error(), "reset") {
		t.Fatal(err)
	}
	fr := frameReader{r: bytes.NewReader(stream), limit: 1 << 20}
	for {
		payload, err := fr.next()
		if err != nil {
			return all, string(stream)
		}
		kind, _ := decode(payload)
		all = append(all, kind)
	}
}

// A stranger that does not know the secret learns nothing, whatever it sends, and does not become
// a peer.
func TestStrangersLearnNothing(t *testing.T) {
	hello := &Hello{Name: "b", Run: 9, Group: "the-group", Digest: "the-digest", Outbound: true, Sync: true}
	for _, tt := range []struct {
		name    string
		secret  []byte // of the instance
		send    func(c *fakeConn)
		refused bool // the stranger gets a refusal
		logged  string
	}{
		{"hello at once", testSecret, func(c *fakeConn) { c.sendHello(hello) }, true, "unexpected type 1 in the handshake"},
		{"another version", testSecret, func(c *fakeConn) {
			c.enc.begin(frameOpen)
			c.enc.uint(new(uint64(99)))
			c.send()
		}, true, "link version 99"},
		{"no proof", testSecret, func(c *fakeConn) { c.sendOpen(); c.sendHello(hello) }, true, "unexpected type 1 in the handshake"},
		{"a wrong proof", testSecret, func(c *fakeConn) {
			c.sendOpen()
			c.enc.frame(frameProof, proofOf(make([]byte, macBytes)))
			c.send()
			c.sendHello(hello)
		}, true, "does not know the link secret"},
		{"the proof reflected", testSecret, func(c *fakeConn) {
			c.sendOpen()
			c.expectOpen()
			_, d := decode(c.expect(frameProof))
			var proof proofFrame
			if err := d.body(&proof); err != nil {
				c.w.t.Fatal(err)
			}
			c.enc.frame(frameProof, &proof)
			c.send()
		}, true, "does not know the link secret"},
		{"a long frame", testSecret, func(c *fakeConn) {
			c.sendOpen()
			c.enc.frame(frameProof, proofOf(make([]byte, openLimit)))
			c.send()
		}, true, "longer than the limit"},
		{"nothing", testSecret, func(c *fakeConn) {}, false, "no sign of the peer"},
		{"nothing more", testSecret, func(c *fakeConn) { c.sendOpen() }, false, "no sign of the peer"},
		{"no secret, another name", nil, func(c *fakeConn) {
			c.sendOpen()
			c.expectOpen()
			c.expect(frameProof)
			c.sendProof()
			h := *hello
			h.Name = "stranger"
			c.sendHello(&h)
		}, true, "neither a destination nor a peer"},
		{"no secret, another digest", nil, func(c *fakeConn) {
			c.sendOpen()
			c.expectOpen()
			c.expect(frameProof)
			c.sendProof()
			h := *hello
			h.Digest = "another"
			c.sendHello(&h)
		}, true, "rejects by other rules"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				a := secretive(w, tt.secret, []Destination{{Name: "b", Sync: true}})
				a.publish(0x1234567812345678, 1, 1)
				nc, err := w.Host("b").Dial(t.Context(), "a:9107")
				if err != nil {
					t.Fatal(err)
				}
				defer nc.Close()
				c := w.newFakeConn(nc, true)
				c.auth.secrets = [][]byte{tt.secret}
				began := time.Now()
				tt.send(c)
				got, text := frames(t, nc)
				checkRevealed(t, got, tt.refused)
				for _, word := range []string{"the-group", "the-digest", "stranger", "secret", "\x12\x34\x56\x78"} {
					if strings.Contains(text, word) {
						t.Errorf("the frames contain %q", word)
					}
				}
				if took := time.Since(began); took > strangerTimeout {
					t.Errorf("ended after %v", took)
				}
				pass(time.Second)
				if s := a.status("b"); s.State != "down" || s.Inbound || a.l.countConnections() != 0 {
					t.Errorf("status %+v, %d connections", s, a.l.countConnections())
				}
				if !a.logged("did not become a link", tt.logged) {
					t.Error("the log does not say why")
				}
			})
		})
	}
}

// checkRevealed checks that a stranger got only frames that reveal nothing, and whether it got a
// refusal.
func checkRevealed(t *testing.T, got []frameType, want bool) {
	t.Helper()
	refused := false
	for _, f := range got {
		switch f {
		case frameOpen, frameProof:
		case frameRefuse:
			refused = true
		default:
			t.Errorf("got a frame of type %d", f)
		}
	}
	if refused != want {
		t.Errorf("got frames %v, refusal %v", got, refused)
	}
}

// However slowly a stranger sends, its connection is closed after two seconds.
func TestSlowStranger(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		secretive(w, testSecret, []Destination{{Name: "b", Sync: true}})
		nc, err := w.Host("b").Dial(t.Context(), "a:9107")
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		began := time.Now()
		for _, b := range sampleFrames()["open"] {
			if _, err := nc.Write([]byte{b}); err != nil {
				break
			}
			pass(500 * time.Millisecond)
		}
		if took := time.Since(began); took > strangerTimeout+time.Second {
			t.Errorf("gone after %v", took)
		}
	})
}

// A stranger that listens at a peer's address learns nothing from the instance that dials it.
func TestDiallerRevealsNothing(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		f := w.fake("b")
		a := secretive(w, testSecret, []Destination{to("b")})
		nc, err := f.ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		c := w.newFakeConn(nc, false)
		c.auth.secrets = [][]byte{bytes.Repeat([]byte{8}, SecretBytes)}
		c.expectOpen()
		c.sendOpen()
		c.sendProof()
		got, _ := frames(t, nc)
		checkRevealed(t, got, true)
		w.eventually("the reason is shown", func() bool { return strings.Contains(a.status("b").Reason, "does not know the link secret") })
		if a.status("b").Refused == 0 {
			t.Error("not counted")
		}
	})
}

// The frames of a peer on one connection are worthless on another.
func TestReplayedSession(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("a", Destination{Name: "b", Sync: true})
		first := w.dial("b", "a")
		recording := &recorder{Conn: first.nc}
		first.nc = recording
		first.handshake(&Hello{Run: 5})
		w.now("linked", a.state("b", "sync"))
		first.nc.Close()
		w.now("down", a.state("b", "down"))
		nc, err := w.Host("b").Dial(t.Context(), "a:9107")
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		c := w.newFakeConn(nc, true)
		c.sendOpen() // with the same nonce
		_, _ = nc.Write(firstProof(first))
		_, _ = nc.Write(recording.b.Bytes())
		got, _ := frames(t, nc)
		checkRevealed(t, got, true)
		w.now("still down", a.state("b", "down"))
	})
}

// firstProof returns the first proof that a connection has sent.
func firstProof(c *fakeConn) []byte {
	a := newAuthenticator(c.auth.secrets, c.auth.dialled, nonce{})
	a.nonces = c.auth.nonces
	return newFrame(frameProof, proofOf(a.prove()))
}

// A recorder keeps the bytes written to a connection.
type recorder struct {
	net.Conn
	b bytes.Buffer
}

func (r *recorder) Write(b []byte) (int, error) {
	r.b.Write(b)
	return r.Conn.Write(b)
}

// Instances with configured names link if neither has a secret or both have the same one. Others
// do not, and those that know the secret get the reason. Each side logs a reason.
func TestSecretsAndNames(t *testing.T) {
	other := bytes.Repeat([]byte{8}, SecretBytes)
	for _, tt := range []struct {
		name   string
		ours   []byte // secret of a
		theirs []byte // secret of b
		change func(b *Options)
		linked bool
		atA    string // expected in a's log
		atB    string
	}{
		{"the same", testSecret, testSecret, nil, true, "link is up", "link is up"},
		{"none", nil, nil, nil, true, "link is up", "link is up"},
		{"another", testSecret, other, nil, false, "it has another link secret", "does not know the link secret"},
		{"one has none", testSecret, nil, nil, false, "it has another link secret", "does not know the link secret"},
		{"another name", testSecret, testSecret, func(b *Options) { b.Name = "b2" }, false, "neither a destination nor a peer", "refused by the peer: \\\"b2\\\" names neither"},
		{"another name, no secret", nil, nil, func(b *Options) { b.Name = "b2" }, false, "neither a destination nor a peer", "refused by the peer, whose log says why"},
		{"another group", testSecret, testSecret, func(b *Options) { b.Group = "h" }, false, "is of group", "is of group"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				a := w.instance("a", func(o *Options) { o.Secrets, o.Peers = FixedSecret(tt.ours), []string{"b"} })
				b := w.instance("b", func(o *Options) {
					o.Secrets, o.Destinations = FixedSecret(tt.theirs), []Destination{to("a")}
					if tt.change != nil {
						tt.change(o)
					}
				})
				a.start()
				b.start()
				pass(3 * time.Second)
				if got := b.status("a").State == "sync"; got != tt.linked {
					t.Errorf("linked: %v", got)
				}
				if !tt.linked && (len(a.l.Status()) != 1 || a.status("b").State != "down") {
					t.Errorf("status of a: %+v", a.l.Status())
				}
				if !a.logged(tt.atA) || !b.logged(tt.atB) {
					t.Errorf("a does not log %q, or b %q", tt.atA, tt.atB)
				}
			})
		})
	}
}
