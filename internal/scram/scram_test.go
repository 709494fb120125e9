package scram

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

const (
	user     = "user"
	password = "pencil"
)

var verifier = NewVerifier(password, MinIterations)

func lookup(string) Verifier { return verifier }

// The example of RFC 7677, section 3.
func TestVector(t *testing.T) {
	const (
		salt        = "W22ZaJ0SNY7soEsUEjb6gQ=="
		clientFirst = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
		serverFirst = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=" + salt + ",i=4096"
		clientFinal = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
		serverFinal = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
	)
	c := NewClient(user, password, nil)
	c.nonce = "rOprNGfwEbeRWgbNEkqO"
	if got := c.Initial(); got != "SCRAM-SHA-256 "+clientFirst {
		t.Errorf("client-first %q", got)
	}
	if got, err := c.Final(serverFirst); err != nil || got != clientFinal {
		t.Errorf("client-final %q, %v", got, err)
	}
	if err := c.Verify(serverFinal); err != nil || !c.Proven() {
		t.Errorf("server-final: %v", err)
	}

	raw, _ := base64.StdEncoding.DecodeString(salt)
	salted, err := saltedPassword(password, raw, 4096)
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(nil, func(string) Verifier { return Verifier{4096, raw, storedKey(salted), serverKey(salted)} })
	s.nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	if got, name, err := s.First(clientFirst); err != nil || got != serverFirst || name != user {
		t.Errorf("server-first %q of %q, %v", got, name, err)
	}
	if got, err := s.Final(clientFinal); err != nil || got != serverFinal {
		t.Errorf("server-final %q, %v", got, err)
	}
}

// converse has a whole conversation and returns the first error.
func converse(c *Client, s *Server) (name string, err error) {
	serverFirst, name, err := s.First(c.First())
	if err != nil {
		return name, err
	}
	clientFinal, err := c.Final(serverFirst)
	if err != nil {
		return name, err
	}
	serverFinal, err := s.Final(clientFinal)
	if err != nil {
		return name, err
	}
	return name, c.Verify(serverFinal)
}

func TestConversations(t *testing.T) {
	ours, theirs := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	for name, c := range map[string]struct {
		client *Client
		server *Server
		want   string // part of the error
	}{
		"plain":               {NewClient(user, password, nil), NewServer(nil, lookup), ""},
		"plus":                {NewClient(user, password, ours), NewServer(ours, lookup), ""},
		"client without TLS":  {NewClient(user, password, nil), NewServer(ours, lookup), ""},
		"wrong password":      {NewClient(user, "pencils", nil), NewServer(nil, lookup), ErrClientProof.Error()},
		"intercepted":         {NewClient(user, password, ours), NewServer(theirs, lookup), "may be intercepted"},
		"TLS ends before":     {NewClient(user, password, ours), NewServer(nil, lookup), "does not end at this server"},
		"downgraded":          {&Client{user: user, password: password, gs2: "y,,", nonce: "x"}, NewServer(ours, lookup), "may be intercepted"},
		"server without TLS":  {&Client{user: user, password: password, gs2: "y,,", nonce: "x"}, NewServer(nil, lookup), ""},
		"other binding":       {&Client{user: user, password: password, gs2: "p=tls-unique,,", nonce: "x"}, NewServer(ours, lookup), "other than tls-exporter"},
		"identity to act for": {&Client{user: user, password: password, gs2: "n,a=root,", nonce: "x"}, NewServer(nil, lookup), "identity to act for"},
		"unknown user": {NewClient(user, password, nil),
			NewServer(nil, func(user string) Verifier { return Decoy(ours, user, MinIterations) }), ErrClientProof.Error()},
		"no verifier":      {NewClient(user, password, nil), NewServer(nil, func(string) Verifier { return Verifier{} }), "no usable verifier"},
		"control":          {NewClient(user, "pen\x00cil", nil), NewServer(nil, lookup), "control character"},
		"user not UTF-8":   {NewClient("\xff", password, nil), NewServer(nil, lookup), "not a line of UTF-8"},
		"no password":      {NewClient(user, "", nil), NewServer(nil, lookup), "password is empty"},
		"impostor":         {NewClient(user, password, nil), impostor(), ErrServerProof.Error()},
		"long client text": {NewClient(strings.Repeat("u", MaxMessage), password, nil), NewServer(nil, lookup), "more than the maximum"},
	} {
		_, err := converse(c.client, c.server)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
		if c.client.Proven() != (err == nil) {
			t.Errorf("%s: proven %v after %v", name, c.client.Proven(), err)
		}
	}
}

// Each conversation has nonces of its own, so that one that was overheard does not authenticate
// anybody again.
func TestReplayedConversation(t *testing.T) {
	c, s := NewClient(user, password, nil), NewServer(nil, lookup)
	clientFirst, _ := CutInitial(c.Initial())
	serverFirst, _, err := s.First(clientFirst)
	if err != nil {
		t.Fatal(err)
	}
	clientFinal, err := c.Final(serverFirst)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Final(clientFinal); err != nil {
		t.Fatal(err)
	}
	again := NewServer(nil, lookup)
	if _, _, err := again.First(clientFirst); err != nil {
		t.Fatal(err)
	}
	if _, err := again.Final(clientFinal); err == nil {
		t.Error("a conversation that was overheard authenticates again")
	}
	if NewClient(user, password, nil).Initial() == c.Initial() {
		t.Error("two clients have the same nonce")
	}
}

// impostor returns a server that accepts each client, but has the verifier of no password.
func impostor() *Server {
	v := verifier
	v.ServerKey = make([]byte, 32)
	return NewServer(nil, func(string) Verifier { return v })
}

func TestUsersAreEscaped(t *testing.T) {
	for _, user := range []string{"a=b,c", "=", ",", "=2C", "Zoë"} {
		if got, err := converse(NewClient(user, password, nil), NewServer(nil, lookup)); got != user || err != nil {
			t.Errorf("user %q arrives as %q, %v", user, got, err)
		}
	}
	for _, bad := range []string{"n,,n=a=b,r=x", "n,,n=a=,r=x", "n,,n=a=2,r=x"} {
		if _, _, err := NewServer(nil, lookup).First(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestClientRefusesServerFirst(t *testing.T) {
	for name, text := range map[string]string{
		"another nonce":    "r=x,s=c2FsdHNhbHQ=,i=4096",
		"few iterations":   "r=NONCEx,s=c2FsdHNhbHQ=,i=4095",
		"many iterations":  "r=NONCEx,s=c2FsdHNhbHQ=,i=1000001",
		"no server nonce":  "r=NONCE,s=c2FsdHNhbHQ=,i=4096",
		"salt":             "r=NONCEx,s=!,i=4096",
		"extension":        "m=x,r=NONCEx,s=c2FsdHNhbHQ=,i=4096",
		"extension at end": "r=NONCEx,s=c2FsdHNhbHQ=,i=4096,x=y",
		"empty":            "",
		"long":             "r=NONCEx,s=" + strings.Repeat("A", MaxMessage) + ",i=4096",
		"long nonce":       "r=NONCE" + strings.Repeat("x", 257) + ",s=c2FsdHNhbHQ=,i=4096",
	} {
		c := NewClient(user, password, nil)
		c.First()
		if _, err := c.Final(strings.ReplaceAll(text, "NONCE", c.nonce)); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := c.Final("r=" + c.nonce + "x,s=c2FsdHNhbHQ=,i=4096"); err == nil {
			t.Errorf("%s: the conversation goes on after an error", name)
		}
	}
}

func TestStepsHaveAnOrder(t *testing.T) {
	c, s := NewClient(user, password, nil), NewServer(nil, lookup)
	if _, err := c.Final("r=x,s=c2FsdA==,i=4096"); err == nil {
		t.Error("Final before First")
	}
	if err := c.Verify("v="); err == nil {
		t.Error("Verify before Final")
	}
	if _, err := s.Final("c=biws,r=x,p=x"); err == nil {
		t.Error("the server's Final before First")
	}
	if _, err := converse(c, s); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.First(c.First()); err == nil {
		t.Error("First twice")
	}
}

func TestServerRefuses(t *testing.T) {
	c, s := NewClient(user, password, nil), NewServer(nil, lookup)
	serverFirst, _, err := s.First(c.First())
	if err != nil {
		t.Fatal(err)
	}
	good, err := c.Final(serverFirst)
	if err != nil {
		t.Fatal(err)
	}
	s.next = final
	if err := c.Verify("e=invalid-proof"); err == nil || !strings.Contains(err.Error(), "invalid-proof") {
		t.Errorf("a refusal: %v", err)
	}
	for name, bad := range map[string]string{
		"binding":   strings.Replace(good, "c=biws", "c=eSws", 1),
		"nonce":     strings.Replace(good, ",r=", ",r=x", 1),
		"proof":     good[:strings.LastIndex(good, ",p=")] + ",p=AAAA",
		"none":      good[:strings.LastIndex(good, ",p=")],
		"extension": strings.Replace(good, ",p=", ",x=y,p=", 1),
	} {
		s.next = final
		if _, err := s.Final(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	s.next = final
	if _, err := s.Final(good); err != nil {
		t.Error(err)
	}
}

func TestVerifierText(t *testing.T) {
	text := verifier.String()
	v, err := ParseVerifier(text)
	if err != nil || v.String() != text {
		t.Fatalf("%v", err)
	}
	if !v.Check(password) || v.Check("pencils") || v.Check("") || (Verifier{}).Check("") {
		t.Error("the password is checked wrongly")
	}
	if other := NewVerifier(password, 0); bytes.Equal(other.Salt, v.Salt) || other.Iterations != MinIterations {
		t.Error("a salt is used twice, or the iterations are too few")
	}
	for _, bad := range []string{
		"", "x", "SCRAM-SHA-1" + text[len(Mechanism):], text[:len(text)-4], text + "=", text + "$",
		strings.Replace(text, "4096", "4095", 1), strings.Replace(text, "4096", "9999999", 1), strings.Replace(text, "4096", "-1", 1),
		strings.Repeat("x", MaxMessage+1),
	} {
		_, err := ParseVerifier(bad)
		if err == nil {
			t.Errorf("%.80q is accepted", bad)
		} else if strings.Contains(err.Error(), base64.StdEncoding.EncodeToString(verifier.StoredKey)) {
			t.Errorf("the error quotes a key: %v", err)
		}
	}
}

func TestDecoysLookReal(t *testing.T) {
	secret := []byte("secret")
	d := Decoy(secret, "nobody", MinIterations)
	if err := d.check(); err != nil || len(d.Salt) != len(verifier.Salt) {
		t.Errorf("a decoy differs from a verifier: %v", err)
	}
	if again := Decoy(secret, "nobody", MinIterations); !bytes.Equal(again.Salt, d.Salt) {
		t.Error("a user's decoy changes")
	}
	if other := Decoy(secret, "nobody else", MinIterations); bytes.Equal(other.Salt, d.Salt) {
		t.Error("two users have one decoy")
	}
}

func TestCutInitial(t *testing.T) {
	for text, want := range map[string]bool{
		"SCRAM-SHA-256 n,,n=u,r=x": true, "SCRAM-SHA-256 y,,n=u,r=x": true, "SCRAM-SHA-256-PLUS p=tls-exporter,,n=u,r=x": true,
		"SCRAM-SHA-256 p=tls-exporter,,n=u,r=x": false, "SCRAM-SHA-256-PLUS n,,n=u,r=x": false,
		"SCRAM-SHA-256": false, "secret": false, "": false, "SCRAM-SHA-1 n,,": false,
	} {
		if _, is := CutInitial(text); is != want {
			t.Errorf("%q: %v", text, is)
		}
	}
	for _, binding := range [][]byte{nil, {1}} {
		if _, is := CutInitial(NewClient(user, password, binding).Initial()); !is {
			t.Errorf("the initial message of our client is not recognised")
		}
	}
}

// A hostile client does not get past the proof, and never causes a panic.
func FuzzServer(f *testing.F) {
	f.Add("n,,n=user,r=x", "c=biws,r=x,p=AAAA")
	f.Add("p=tls-exporter,,n=a=2Cb,r=x", "c=,r=,p=")
	f.Add("y,,n=,r=", "")
	binding := []byte("binding")
	f.Fuzz(func(t *testing.T, clientFirst, clientFinal string) {
		s := NewServer(binding, lookup)
		serverFirst, _, err := s.First(clientFirst)
		if err != nil {
			return
		}
		if len(serverFirst) > 2*maxNonce+MaxMessage {
			t.Errorf("server-first has %d bytes", len(serverFirst))
		}
		for _, text := range []string{clientFinal, strings.ReplaceAll(clientFinal, "r=x", "r="+s.nonce)} {
			s.next = final
			if _, err := s.Final(text); err == nil {
				t.Error("a client without the password is accepted")
			}
		}
	})
}

// A hostile server cannot prove itself, and never causes a panic. The iterations are cut,
// so that a run does not compute most of the time.
func FuzzClient(f *testing.F) {
	f.Add("r=NONCEx,s=c2FsdHNhbHQ=,i=4096", "v=AAAA")
	f.Add("r=NONCE,s=,i=0", "e=other-error")
	f.Fuzz(func(t *testing.T, serverFirst, serverFinal string) {
		c := NewClient(user, password, []byte("binding"))
		c.First()
		serverFirst = strings.ReplaceAll(serverFirst, "NONCE", c.nonce)
		if _, _, iterations, err := c.parseFirst(serverFirst); err == nil && iterations > MinIterations {
			return
		}
		if _, err := c.Final(serverFirst); err != nil {
			return
		}
		if err := c.Verify(serverFinal); err == nil || c.Proven() {
			t.Error("a server without the verifier is accepted")
		} else if errors.Is(err, ErrClientProof) {
			t.Error("the wrong side failed")
		}
	})
}

func FuzzVerifier(f *testing.F) {
	f.Add(verifier.String())
	f.Add("SCRAM-SHA-256$4096:$:")
	f.Fuzz(func(t *testing.T, text string) {
		v, err := ParseVerifier(text)
		if err != nil {
			return
		}
		if again, err := ParseVerifier(v.String()); err != nil || again.String() != v.String() {
			t.Errorf("%q is read back differently: %v", text, err)
		}
	})
}
