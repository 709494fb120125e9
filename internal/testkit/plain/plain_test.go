package plain_test

import (
	"encoding/hex"
	"encoding/json"
	"net"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/internal/testkit/plain"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// vectors returns the frames of the protocol's test vectors.
func vectors(t *testing.T) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile("../../wire/testdata/wire_vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []struct{ ID, Prefix, Payload string }
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	frames := make(map[string][]byte)
	for _, v := range list {
		if frames[v.ID], err = hex.DecodeString(v.Prefix + v.Payload); err != nil {
			t.Fatal(err)
		}
	}
	return frames
}

// answers sends frames to a new server and returns its frames of the next second.
func answers(t *testing.T, v plain.Version, frames ...[]byte) (got []string) {
	synctest.Test(t, func(t *testing.T) {
		n, g := memnet.New(), plain.NewGroup()
		defer g.Close()
		rules := plain.Rules{Entitled: func(topic string) bool { return topic != "secret" }}
		if _, err := g.Add(v, func() (net.Listener, error) { return n.Listen("a:1") }, rules); err != nil {
			t.Fatal(err)
		}
		nc, err := n.Dial(t.Context(), "a:1")
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		for _, f := range frames {
			if _, err := nc.Write(f); err != nil {
				t.Fatal(err)
			}
		}
		if err := nc.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		for r := wire.NewReader(nc, 1<<20); ; {
			f, err := r.Next()
			if err != nil {
				return
			}
			got = append(got, string(f))
		}
	})
	return got
}

// The double answers the protocol's vectors with the vectors that are the answers,
// as each version does.
func TestVectors(t *testing.T) {
	v := vectors(t)
	secret := wire.PublishCommand{Topic: "secret", Acks: wire.AckPersisted, Sequence: 44}
	lost := wire.SubscribeCommand{
		Command: wire.Subscribe, CommandID: "21", SubID: "2", Topic: "orders", Bookmark: "7|9|", Acks: wire.AckProcessed, Options: "bookmark_not_found=fail",
	}
	for _, tt := range []struct {
		name    string
		version plain.Version
		send    [][]byte
		want    string // a vector that is among the answers, or their text
	}{
		{"logon", plain.V535, [][]byte{v["V01"]}, `{"c":"ack","cid":"0","s":0,"bm":"7094790850998930143|0|","client_name":"pubber","a":"processed","status":"success","version":"5.3.5.0"}`},
		{"logon, with a remark", plain.V52, [][]byte{v["V01"]}, `{"c":"ack","cid":"0","s":0,"bm":"7094790850998930143|0|","client_name":"pubber","a":"processed","status":"success","reason":"authentication disabled","version":"5.2.1.17.717892.e742467"}`},
		{"persisted, conflated", plain.V535, [][]byte{v["V01"], v["V10"], v["V13"]}, "V14"},
		{"rejected", plain.V534, [][]byte{v["V01"], v["V10"], v["V13"], secret.AppendTo(nil)}, "V15"},
		{"rejected with success", plain.V52, [][]byte{v["V01"], v["V10"], v["V13"], secret.AppendTo(nil)}, `{"c":"ack","a":"persisted","s":44,"bm":"7094790850998930143|44|","status":"success","reason":"not entitled"}`},
		{"replay", plain.V535, [][]byte{v["V01"], v["V10"], v["V13"], v["V21"]}, "V25"},
		{"persisted of a subscription", plain.V52, [][]byte{v["V01"], v["V10"], v["V13"], v["V21"]}, `{"c":"ack","a":"persisted","status":"success","sub_id":"2","bm":"7094790850998930143|43|"}`},
		{"known option", plain.V535, [][]byte{v["V01"], v["V10"], v["V13"], v["V23"]}, `{"c":"ack","cid":"21","a":"processed","status":"success","sub_id":"2"}`},
		{"unknown option", plain.V534, [][]byte{v["V01"], v["V10"], v["V13"], v["V23"]}, `{"c":"ack","cid":"21","a":"processed","status":"failure","reason":"invalid options","sub_id":"2"}`},
		{"bookmark not found", plain.V535, [][]byte{v["V01"], lost.AppendTo(nil)}, `{"c":"ack","cid":"21","a":"processed","status":"failure","reason":"invalid bookmark","sub_id":"2"}`},
		{"duplicate", plain.V534, [][]byte{v["V01"], v["V10"], v["V10"]}, `{"c":"ack","a":"persisted","s":42,"status":"failure","reason":"duplicate"}`},
	} {
		want := tt.want
		if f, is := v[want]; is {
			want = string(f[4:])
		}
		if got := answers(t, tt.version, tt.send...); !slices.Contains(got, want) {
			t.Errorf("%s, %s: got %q, want %s", tt.name, tt.version.Text, got, want)
		}
	}
}
