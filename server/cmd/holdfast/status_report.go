package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/server"
)

// A statusReport is the result of asking the instances once.
type statusReport struct {
	Time       time.Time         `json:"time"`
	Well       bool              `json:"well"`
	State      statusState       `json:"state"` // the worst of the problems
	Problems   []problem         `json:"problems"`
	Instances  []instanceReport  `json:"instances"`            // in the order of the arguments
	Publishers *publishersReport `json:"publishers,omitempty"` // with several instances only
}

// A problem is one thing that is wrong.
type problem struct {
	Kind     string      `json:"kind"`
	State    statusState `json:"state"`    // how bad it is
	Instance string      `json:"instance"` // its name, or its address if it does not answer; empty: all
	Text     string      `json:"text"`     // description, with advice
}

// An instanceReport is the status of one instance, or the error of asking it.
type instanceReport struct {
	Address string         `json:"address"`
	Error   string         `json:"error,omitempty"`
	Status  *server.Status `json:"status,omitempty"` // nil: there was an error
}

// name returns the instance's name, or its address if it does not answer.
func (i *instanceReport) name() string {
	if i.Status == nil {
		return i.Address
	}
	return printable(i.Status.Name)
}

// findProblems fills in the problems.
func (r *statusReport) findProblems() {
	r.Problems = []problem{}
	for i := range r.Instances {
		in := &r.Instances[i]
		if in.Status == nil {
			r.addProblem("unreachable", in.Address, "%s", in.Error)
			continue
		}
		r.checkState(in.name(), in.Status)
		for _, l := range in.Status.Links {
			r.checkLink(in.name(), &l)
		}
	}
	r.checkGroup()
	r.Well = len(r.Problems) == 0
	for _, p := range r.Problems {
		r.State = max(r.State, p.State)
	}
}

// isAsync reports whether an instance answers and has only asynchronous links.
func (i *instanceReport) isAsync() bool { return i.Status != nil && isAsync(i.Status) }

func isAsync(s *server.Status) bool { return s.Role == server.RoleAsync }

// addProblem adds a problem.
func (r *statusReport) addProblem(kind, instance, format string, args ...any) {
	r.Problems = append(r.Problems, problem{kind, stateOf(kind), instance, fmt.Sprintf(format, args...)})
}

func (r *statusReport) addProblemIf(is bool, kind, instance, format string, args ...any) {
	if is {
		r.addProblem(kind, instance, format, args...)
	}
}

// checkState adds the problems of an instance itself.
func (r *statusReport) checkState(name string, s *server.Status) {
	switch {
	case s.Stopping:
		r.addProblem("stopping", name, "it is stopping: clients move to the peer")
	case !s.Ready && s.Cluster == "":
		r.addProblem("no_cluster", name, "it serves no clients: its journal is empty, and it has not met an instance of its group, which may have the messages; "+
			"if it is the first instance of the group, start it with -bootstrap")
	case !s.Ready:
		r.addProblem("not_ready", name, "it does not serve clients yet: it is catching up with its peer, for 'rejoin_timeout' at most")
	case s.CatchingUp:
		r.addProblem("catching_up", name, "it serves clients, but it lacks or may lack messages of its peer until it has caught up")
	case s.InSync.Code == server.NotInSyncCatchingUp, s.InSync.Code == server.NotInSyncLeftOut:
		r.addProblem("lacks", name, "%s", printable(s.InSync.Reason))
	}
	r.addProblemIf(s.Ready && !s.Intact && s.Damage == "", "not_intact", name, "its journal was lost, and it has not yet caught up with a peer whose journal is intact: "+
		"subscriptions that have seen publishers unknown to all instances are told that messages may be lost")
	r.addProblemIf(s.Damage != "", "damage", name, "its journal is damaged and is repaired from the peer once that is linked: %s", printable(s.Damage))
	r.addProblemIf(s.Full, "full", name, "its disk is nearly full, and nothing can be removed: it refuses publishes until there is space, and clients move to the peer")
	r.addProblemIf(s.ClockAheadMS > 0, "clock", name, "its newest message has a time %v in the future: its wall clock is or was wrong; "+
		"retention by age is not affected, but subscriptions that start at a time start too early", time.Duration(s.ClockAheadMS)*time.Millisecond)
	for _, d := range s.Diverged {
		r.addProblemIf(d.Floor < max(d.Have, 1), "set_apart", name, "publisher %d has diverged: from message %d on, the instances have different contents, because a store was copied or somebody "+
			"knows its life. Its messages are no longer accepted, sent or waited for, and its client continues as another publisher. Find the copy, and keep both "+
			"journals until you have decided which contents are right: holdfast journal dump DIR --publisher %d --sequence %d --body", d.Publisher, d.From, d.Publisher, d.From)
	}
	r.checkDecree(name, s)
	r.checkAccess(name, s)
	r.addProblemIf(s.Single && !isAsync(s), "single", name, "acks are single (one disk): publish stores keep their messages until the peer has them too")
}

// minDaysLeft is the number of days below which the end of a certificate is a problem, as in the log
// of the instance.
const minDaysLeft = 14

// checkAccess adds the problems of users and certificates.
func (r *statusReport) checkAccess(name string, s *server.Status) {
	if s.Users != nil {
		r.addProblemIf(len(s.Users.Differ) > 0, "users", name, "%s has had other permissions of users for a minute: copy the file of users from one instance to all others",
			printable(strings.Join(s.Users.Differ, ", ")))
	}
	for _, c := range s.Certificates {
		text := "expires in " + plural(c.DaysLeft, "day")
		if c.DaysLeft < 0 {
			text = "has expired"
		}
		r.addProblemIf(c.DaysLeft < minDaysLeft, "certificate", name, "the certificate of '%s' %s: replace its files", printable(c.Field), text)
	}
}

// checkDecree adds the problems about lost messages: an outdated instance, refused
// clients, a decree that stands.
func (r *statusReport) checkDecree(name string, s *server.Status) {
	r.addProblemIf(s.Outdated != "", "outdated", name, "it serves no clients: %s", printable(s.Outdated))
	for _, reason := range s.Refusing {
		text, known := refusalTexts[reason]
		if !known {
			text = "it refuses clients that cannot recover by themselves: " + printable(reason)
		}
		r.addProblem("refusing", name, "%s", text)
	}
	if d := s.Decree; d != nil && d.Stands {
		r.addProblem("decree", name, "the decree of incarnation %d stands for another %v and would hide another loss; %s not been seen since%s; "+
			"end it with 'holdfastd lost -end' once every publisher that will return has logged on", d.Incarnation,
			(time.Duration(d.EndsMS) * time.Millisecond).Round(time.Minute), pluralWithHave(d.Unseen, "publisher"), shownIDs(d.Publishers))
	}
}

// shownIDs returns the first few of a list in parentheses, "" for an empty list.
func shownIDs(ids []string) string {
	const shown = 3
	if len(ids) == 0 {
		return ""
	}
	if len(ids) > shown {
		ids = append(ids[:shown:shown], "...")
	}
	return " (" + printable(strings.Join(ids, ", ")) + ")"
}

func pluralWithHave(n int, noun string) string {
	if n == 1 {
		return plural(n, noun) + " has"
	}
	return plural(n, noun) + " have"
}

// refusalTexts are the problems that cause permanent refusals of clients, by reason.
var refusalTexts = map[string]string{
	"publish gap": "it refuses publishers because it lacks messages that were acknowledged to them as safe: wait for the peer that has them, " +
		"or declare them lost with 'holdfastd lost' (server/DISASTER.md)",
	"duplicate with other content": "it rejects messages because it has other contents under their numbers: a publish store was copied, or restored from a backup",
	"permissions differ": "it ends sessions that publish what their user may not, because a peer has other permissions: the clients keep their messages and try again; " +
		"copy the file of users from one instance to all others",
	"publisher of another user": "it refuses clients whose publish store belongs to another user: use the user of the store, or give each user a store of its own",
	"too many publishers of the user": "it refuses new publishers of a user that has or makes too many: is a store made anew at each start? " +
		"(limits.publishers_per_user, limits.publisher_rate)",
	"incarnation": "it refuses clients that have seen a later incarnation of the group: was this instance replaced while it was away?",
}

// checkLink adds the problems of an instance's link to a peer.
func (r *statusReport) checkLink(name string, l *server.LinkStatus) {
	peer := printable(l.Peer)
	switch {
	case l.State == "down":
		r.addProblem("link_down", name, "the link to %s is down: %s", peer, printable(l.Reason))
	case l.State == "catching-up":
		r.addProblem("link_catching_up", name, "%s has not yet acknowledged the records that it lacked when it returned", peer)
	}
	r.addProblemIf(l.OtherCluster, "other_cluster", name, "an instance of another cluster answers under the name of %s: correct the address; the logs of both have the details", peer)
	r.addProblemIf(l.ClocksDisagree, "clocks_disagree", name, "the wall clock of %s differs from its own by %v: retention by age is suspended until they agree; set the wrong one",
		peer, time.Duration(l.ClockSkewMS)*time.Millisecond)
	r.addProblemIf(l.Rivals, "rivals", name, "two processes run as %s, and the later one is linked: stop one of them, or rename it", peer)
	switch {
	case l.OneWay && l.Outbound:
		r.addProblem("one_way", name, "%s does not replicate back: messages published there never get here, and publishers avoid it; "+
			"add %s to its 'replication.destinations'", peer, name)
	case l.OneWay:
		r.addProblem("one_way", name, "it does not replicate back to %s, whose acks wait for it: messages published here never get there, and publishers "+
			"avoid it; add %s to its 'replication.destinations'", peer, peer)
	}
	why := "it kept them waiting for longer than 'downgrade_after'"
	if l.LeftOut {
		why = "an operator has left it out; 'holdfast admin count' ends that"
	}
	r.addProblemIf(l.Ack == "downgraded", "downgraded", name, "acks do not wait for %s, because %s", peer, why)
	r.addProblemIf(l.GivenUp, "given_up", name, "%s was given up: it fell behind by more than 'hold', or was away while the disk was nearly full; records are no longer kept for it, and it is told which ones are missing when it returns", peer)
	r.addProblemIf(l.Diverged > 0, "diverged", name, "%s has other contents for %s: a store was copied, and two processes wrote under one identity", peer, plural(int(l.Diverged), "publisher"))
}

// checkGroup adds the problems of the instances that answer, as a group.
func (r *statusReport) checkGroup() {
	var all []*server.Status
	for i := range r.Instances {
		if s := r.Instances[i].Status; s != nil {
			all = append(all, s)
		}
	}
	group := "a group"
	if len(r.Instances) == 2 {
		group = "a pair"
	}
	for i, s := range all {
		r.checkMember(all[:i], s, group)
	}
	if len(all) < 2 || slices.ContainsFunc(r.Problems, isAboutGroup) {
		return
	}
	for _, s := range all {
		if !slices.ContainsFunc(all, func(o *server.Status) bool { return o != s && (linked(s, o) || linked(o, s)) }) {
			r.addProblem("no_pair", "", "not %s: %s and the others do not replicate to each other (see 'replication.destinations')", group, printable(s.Name))
			return
		}
	}
	for i, s := range all[1:] {
		r.checkSameUsers(all[i], s)
	}
}

// checkSameUsers adds a problem if the instances of a pair have other users. They report that
// themselves only after a minute, and only while they are linked.
func (r *statusReport) checkSameUsers(a, b *server.Status) {
	if b.Users == nil {
		a, b = b, a
	}
	nameA, nameB := printable(a.Name), printable(b.Name)
	switch u, v := a.Users, b.Users; {
	case v == nil:
	case u == nil:
		r.addProblemIf(len(v.Differ) == 0, "users", "", "%s has users and %s has none, so %s lets every client do everything: give both the same file ('clients.users')", nameB, nameA, nameA)
	case u.Hash != v.Hash:
		r.addProblemIf(len(u.Differ)+len(v.Differ) == 0, "users", "", "%s and %s have different permissions of users (versions %d and %d): copy the file of users from one instance to all others",
			nameA, nameB, u.Version, v.Version)
	case u.Version != v.Version:
		r.addProblem("users", "", "%s has version %d of the users and %s version %d, with the same permissions: passwords or limits may differ; copy the file of users from one instance to all others",
			nameA, u.Version, nameB, v.Version)
	}
}

// isAboutGroup reports whether a problem says that the instances are not one group.
func isAboutGroup(p problem) bool { return p.Kind == "same_instance" || p.Kind == "no_pair" }

// checkMember adds the problems of an instance together with those before it.
func (r *statusReport) checkMember(before []*server.Status, s *server.Status, group string) {
	for _, o := range before {
		switch {
		case o.Name == s.Name:
			r.addProblem("same_instance", "", "two addresses belong to %s: give the address of another instance", printable(s.Name))
		case o.Group != s.Group:
			r.addProblem("no_pair", "", "not %s: %s is in group %s, %s in %s", group, printable(o.Name), quoteIfNeeded(o.Group), printable(s.Name), quoteIfNeeded(s.Group))
		case o.Cluster != s.Cluster && o.Cluster != "" && s.Cluster != "":
			r.addProblem("no_pair", "", "not %s: %s is in cluster %s, %s in %s", group, printable(o.Name), shortCluster(o.Cluster), printable(s.Name), shortCluster(s.Cluster))
		default:
			continue
		}
		return
	}
}

// shortCluster returns the beginning of a cluster id, as logs show it.
func shortCluster(cluster string) string { return quoteIfNeeded(cluster[:min(len(cluster), 8)]) }

// linked reports whether a has a link with b.
func linked(a, b *server.Status) bool {
	return slices.ContainsFunc(a.Links, func(l server.LinkStatus) bool { return l.Peer == b.Name })
}

// printable returns text of a server or client for one line of a terminal: it cuts
// long text, and replaces characters that are not printable.
func printable(text string) string {
	const most = 400
	if len(text) > most {
		text = text[:most] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r == ' ' || isWordRune(r) {
			return r
		}
		return '?'
	}, text)
}
