package main

import (
	"maps"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// A journalReport is the JSON output of journal verify.
type journalReport struct {
	Journal    string            `json:"journal"` // its directory
	Sound      bool              `json:"sound"`
	Segments   int               `json:"segments"`
	Bytes      int64             `json:"bytes"` // of its files
	First      seglog.Position   `json:"first"` // position of the oldest record
	End        seglog.Position   `json:"end"`   // end position of the newest record
	Durable    seglog.Position   `json:"durable"`
	Cluster    string            `json:"cluster,omitempty"` // id that the journals of the group have in common
	Intact     bool              `json:"intact"`            // it has, or had, everything that its group has acknowledged
	Records    int               `json:"records"`
	Messages   int               `json:"messages"`
	Torn       *locationReport   `json:"torn,omitempty"` // torn tail, which opening removes; nothing in it was acknowledged
	Damage     []*locationReport `json:"damage"`
	Aside      *locationReport   `json:"aside,omitempty"` // damage found earlier: the records after it are set aside until the peer is linked
	Faults     []string          `json:"faults"`          // broken promises, the first thousand
	Faulty     int               `json:"faulty"`          // number of broken promises
	Publishers []publisherReport `json:"publishers"`      // ordered by id
}

// A locationReport is a location in a file.
type locationReport struct {
	File     string          `json:"file"`
	Offset   int64           `json:"offset"` // in the file
	Bytes    int64           `json:"bytes,omitempty"`
	Position seglog.Position `json:"position,omitempty"` // in the journal
	Reason   string          `json:"reason,omitempty"`
}

// A publisherReport is one publisher in a journal.
type publisherReport struct {
	Publisher uint64 `json:"publisher,string"`
	Have      uint64 `json:"have"`
	Floor     uint64 `json:"floor"`           // highest sequence that retention has removed
	Owner     string `json:"owner,omitempty"` // the first user who published as it
}

func locationOf(d *seglog.DamageError) *locationReport {
	return &locationReport{File: d.File, Offset: d.Offset, Position: d.Position, Reason: d.Reason}
}

func journalReportOf(dir string, found *journal.Inspection) journalReport {
	log := &found.Log
	r := journalReport{
		Journal: dir, Sound: found.Sound(), Segments: log.Segments, Bytes: log.Bytes, First: log.First, End: log.End, Durable: log.Durable,
		Records: found.Records, Messages: found.Messages, Damage: mapSlice(log.Damage, locationOf), Faults: mapSlice(found.Faults, error.Error), Faulty: found.FaultCount,
		Publishers: mapSlice(found.States, func(s journal.PublisherState) publisherReport {
			return publisherReport{s.Publisher, s.Have, s.Floor, s.Owner}
		}),
		Cluster: found.Cluster.ID.String(), Intact: found.Cluster.Intact,
	}
	if t := log.Torn; t != nil {
		r.Torn = &locationReport{File: t.File, Offset: t.Offset, Bytes: t.Bytes}
	}
	if log.Aside != nil {
		r.Aside = locationOf(log.Aside)
	}
	return r
}

// A compareReport is the JSON output of journal compare.
type compareReport struct {
	Same      bool              `json:"same"`
	Journals  [2]comparedReport `json:"journals"`
	Elsewhere int               `json:"elsewhere"` // records left out, since the link does not carry their topics
	Floors    []floorReport     `json:"floors"`    // publishers compared above a floor only: retention has removed the rest on one side
	Differing int               `json:"differing"` // number of publishers that differ
	List      []differingReport `json:"list"`      // the earliest difference first; twenty at most without --all
}

// A floorReport is the floor above which a publisher was compared.
type floorReport struct {
	Publisher uint64 `json:"publisher,string"`
	Floor     uint64 `json:"floor"`
}

// A comparedReport is one of two journals.
type comparedReport struct {
	Journal    string `json:"journal"` // its directory
	Sound      bool   `json:"sound"`
	Records    int    `json:"records"`
	Publishers int    `json:"publishers"`
}

// A differingReport is a publisher whose records differ between the journals.
type differingReport struct {
	Publisher uint64           `json:"publisher,string"`
	What      string           `json:"what"`    // description of the first difference
	Records   [2]*dumpedRecord `json:"records"` // the records at the first difference; null: the journal lacks it
	Only      [2]int           `json:"only"`    // number of records that only this journal has
	Content   int              `json:"content"` // number of identities with different contents
}

func comparisonReport(dirs [2]string, found *journal.Comparison, shown []journal.PublisherDiff, records records) compareReport {
	r := compareReport{Same: found.Same(), Elsewhere: found.Elsewhere, Differing: len(found.Diffs), List: []differingReport{}}
	for i, f := range found.Inspections {
		r.Journals[i] = comparedReport{dirs[i], f.Sound(), f.Records, f.Publishers}
	}
	r.Floors = mapSlice(slices.Sorted(maps.Keys(found.Floors)), func(p uint64) floorReport { return floorReport{p, found.Floors[p]} })
	for _, d := range shown {
		report := differingReport{Publisher: d.Publisher, What: describeDifference(d, dirs), Only: d.OnlyIn, Content: d.ContentDiffers}
		for side, e := range d.Entries {
			if e.Sequence > 0 {
				record := records[side][e.Position]
				report.Records[side] = &record
			}
		}
		r.List = append(r.List, report)
	}
	return r
}
