package users_test

import (
	"testing"

	"github.com/holdfast-mq/holdfast/internal/testkit/detector"
	"github.com/holdfast-mq/holdfast/internal/users"
)

func userOf(t *testing.T, fields string) *users.User {
	t.Helper()
	u, found := loadText(t, head+"- name: a\n  cert: a\n  "+fields+"\n").User("a")
	if !found {
		t.Fatal("there is no user")
	}
	return u
}

// A deny wins over each allow, and no rule means no.
func TestRules(t *testing.T) {
	for _, tt := range []struct{ rules, topic, rule string }{
		{"{}", "x", "no pattern of allow matches"},
		{"{deny: [a]}", "x", "no pattern of allow matches"},
		{"{deny: [a]}", "a", `deny[0] "a"`},
		{"{allow: []}", "", "no pattern of allow matches"},
		{"{allow: [x, y]}", "y", `allow[1] "y"`},
		{"{allow: [x, y]}", "xy", "no pattern of allow matches"},
		{"{allow: ['.*']}", "x", `allow[0] ".*"`},
		{"{allow: ['^orders/'], deny: ['^orders/admin']}", "orders/eu", `allow[0] "^orders/"`},
		{"{allow: ['^orders/'], deny: ['^orders/admin']}", "orders/admin/x", `deny[0] "^orders/admin"`},
		{"{allow: ['^orders/'], deny: ['^orders/admin']}", "my/orders/eu", "no pattern of allow matches"},
		{"{allow: ['orders/eu'], deny: ['orders/eu']}", "orders/eu", `deny[0] "orders/eu"`},
		{"{allow: ['orders/eu'], deny: ['.*']}", "orders/eu", `deny[0] ".*"`},
		{"{allow: ['.*', b, '^c']}", "b", `allow[1] "b"`},
	} {
		r := userOf(t, "publish: "+tt.rules).Publish
		allowed, rule := r.Explain([]byte(tt.topic))
		if rule != tt.rule || allowed != (rule[0] == 'a') {
			t.Errorf("%s, %q: %v by %s, want %s", tt.rules, tt.topic, allowed, rule, tt.rule)
		}
		if r.Allows([]byte(tt.topic)) != allowed {
			t.Errorf("%s, %q: Allows and Explain differ", tt.rules, tt.topic)
		}
	}
	if u := userOf(t, "publish: {allow: [x]}"); u.Subscribe.Allows([]byte("x")) || !u.ClientNames.Allows([]byte("any")) {
		t.Error("the defaults are wrong")
	}
	if (users.Rules{}).Allows([]byte("x")) {
		t.Error("zero rules allow something")
	}
}

func TestRulesAllocateNothing(t *testing.T) {
	if detector.On {
		t.Skip("with the race detector the memory of regular expressions is not always used again")
	}
	r := userOf(t, `publish: {allow: [a, '^orders/[a-z]+$'], deny: [b, '^orders/(admin|x)+']}`).Publish
	for _, topic := range []string{"a", "b", "orders/eu", "orders/admin", "none"} {
		name := []byte(topic)
		if n := testing.AllocsPerRun(100, func() { r.Allows(name) }); n != 0 {
			t.Errorf("%s: %v allocations", topic, n)
		}
	}
}
