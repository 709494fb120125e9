package main

import (
	"maps"
	"slices"

	"github.com/holdfast-mq/holdfast/server"
)

// A publishersReport compares the publishers of several instances. The instances are not
// asked at the same time, so some publishers differ whenever messages are published.
// Asynchronous instances are behind by their nature, so they are not compared.
type publishersReport struct {
	Compared  int                  `json:"compared"`         // number of publishers on any compared instance
	Differing int                  `json:"differing"`        // number of these that are not in the same state on all
	Complete  bool                 `json:"complete"`         // all publishers were compared, not only those with the lowest ids
	Error     string               `json:"error,omitempty"`  // why nothing was compared
	List      []differingPublisher `json:"list"`             // the publishers that differ, ordered by id; 1,000 at most
	Behind    []asyncLag           `json:"behind,omitempty"` // of each asynchronous instance
}

// A differingPublisher is a publisher that differs.
type differingPublisher struct {
	Publisher uint64                    `json:"publisher,string"`
	Client    string                    `json:"client,omitempty"` // name of the client that is logged on with it, if any
	Instances []*server.PublisherStatus `json:"instances"`        // in the order of the arguments; nil: it does not know the publisher, or was not compared
}

// An asyncLag says how far an asynchronous instance is behind the others.
type asyncLag struct {
	Instance   string `json:"instance"`
	Messages   uint64 `json:"messages"`
	Publishers int    `json:"publishers"` // that it lacks messages of
}

// maxDiffering is the number of differing publishers that a report lists at most.
const maxDiffering = 1000

// comparePublishers compares the publishers of the instances.
func comparePublishers(instances []instanceReport, lists []publisherList) *publishersReport {
	r := &publishersReport{List: []differingPublisher{}, Complete: true}
	for i := range instances {
		switch {
		case instances[i].Status == nil:
			r.Error = instances[i].Address + " does not answer"
		case lists[i].err != nil:
			r.Error = instances[i].name() + " does not list its publishers: " + printable(innermostError(lists[i].err).Error())
		}
		if r.Error != "" {
			return r
		}
		r.Complete = r.Complete && !lists[i].truncated
	}
	clients, publishers := clientsOf(instances), publishersByID(lists)
	r.Compared = len(publishers)
	for _, id := range slices.Sorted(maps.Keys(publishers)) {
		d := differingPublisher{id, clients[id], publishers[id]}
		if d.same(instances) {
			continue
		}
		if r.Differing++; len(r.List) < maxDiffering {
			r.List = append(r.List, d)
		}
	}
	for i := range instances {
		if instances[i].isAsync() {
			r.Behind = append(r.Behind, lagOf(instances[i].name(), publishers, i))
		}
	}
	return r
}

// publishersByID returns the publishers of the instances by id. If a list is not complete,
// publishers with higher ids than its last are left out.
func publishersByID(lists []publisherList) map[uint64][]*server.PublisherStatus {
	end := ^uint64(0)
	for _, l := range lists {
		if l.truncated {
			end = min(end, l.lastID())
		}
	}
	publishers := make(map[uint64][]*server.PublisherStatus)
	for i, l := range lists {
		for _, p := range l.publishers {
			if p.Publisher > end {
				break
			}
			if publishers[p.Publisher] == nil {
				publishers[p.Publisher] = make([]*server.PublisherStatus, len(lists))
			}
			publishers[p.Publisher][i] = &p
		}
	}
	return publishers
}

// same reports whether have and durable are the same on all instances, except asynchronous ones.
// Floors may differ, since each instance has its own retention.
func (d *differingPublisher) same(instances []instanceReport) bool {
	var first *server.PublisherStatus
	for i, p := range d.Instances {
		switch {
		case instances[i].isAsync():
		case p == nil:
			return false
		case first == nil:
			first = p
		case p.Have != first.Have || p.Durable != first.Durable:
			return false
		}
	}
	return true
}

// lagOf returns how far the instance with an index is behind the others.
func lagOf(name string, publishers map[uint64][]*server.PublisherStatus, index int) asyncLag {
	l := asyncLag{Instance: name}
	for _, all := range publishers {
		highest, has := uint64(0), uint64(0)
		for i, p := range all {
			switch {
			case p == nil:
			case i == index:
				has = p.Have
			default:
				highest = max(highest, p.Have)
			}
		}
		if highest > has {
			l.Messages += highest - has
			l.Publishers++
		}
	}
	return l
}

// clientsOf returns the names of the publishing clients, by publisher id.
func clientsOf(instances []instanceReport) map[uint64]string {
	names := make(map[uint64]string)
	for _, i := range instances {
		for _, s := range i.Status.Sessions {
			if s.Publisher != 0 {
				names[s.Publisher] = s.Name
			}
		}
	}
	return names
}
