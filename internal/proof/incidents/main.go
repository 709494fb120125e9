// Command incidents records what Prometheus sees while a pair of real processes is broken under
// traffic, for the tests of the alert rules in server/deploy/alerts.yml.
//
//	peer-killed      one instance is killed, and started again a minute later
//	disk-filling     another program fills the disk until publishes are refused, then frees it
//	link-cut         the network between the instances is cut for a minute
//	slow-subscriber  a subscriber reads more slowly than messages come
//	publish-gap      both journals are replaced by older copies
//
// It scrapes both instances once a second, and writes the series of the metrics that the rules use
// to a file for each incident below testdata. The test of this package has promtool evaluate the rules
// over these files: the alerts that an incident must raise fire, and no others. New recordings take
// ten minutes:
//
//	go run ./internal/proof/incidents -write internal/proof/incidents/testdata
//
// With -openmetrics it also writes all series in a form that promtool can load into a database of
// Prometheus, to look at the dashboard. With -logs it also keeps the logs of both instances, of the
// publishers and of the subscribers, in a directory for each incident.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/holdfast-mq/holdfast/internal/proof/rig"
)

func main() { os.Exit(run()) }

// options are the flags.
type options struct {
	only               string
	write, openMetrics string // directories; openMetrics may be empty
	rules              string
	logs               string // directory; may be empty
}

func run() int {
	var o options
	keep := flag.Bool("keep", false, "keep the directory with journals and logs")
	binary := flag.String("binary", "", "a holdfastd; built from this checkout if not given")
	flag.StringVar(&o.only, "only", "", "record only the `incident` of this name")
	flag.StringVar(&o.write, "write", "", "`directory` for the recordings; required")
	flag.StringVar(&o.openMetrics, "openmetrics", "", "`directory` for all series in the OpenMetrics format")
	flag.StringVar(&o.logs, "logs", "", "`directory` for the logs of instances and clients")
	flag.StringVar(&o.rules, "rules", "server/deploy/alerts.yml", "`file` with the alert rules")
	flag.Parse()
	if flag.NArg() > 0 || o.write == "" {
		fmt.Fprintln(os.Stderr, "incidents: name the directory for the recordings with -write; there are no arguments")
		return 2
	}
	return rig.Rig{Name: "incidents", Keep: *keep, Binary: *binary}.Run(func(ctx context.Context, dir, binary string) (bool, error) {
		return true, recordAll(ctx, o, dir, binary)
	})
}

// recordAll records the incidents.
func recordAll(ctx context.Context, o options, dir, binary string) error {
	rules, err := os.ReadFile(o.rules)
	if err != nil {
		return err
	}
	for i := range incidents {
		in := &incidents[i]
		if o.only != "" && o.only != in.name {
			continue
		}
		fmt.Println(in.name)
		r, err := in.record(ctx, o, filepath.Join(dir, in.name), binary)
		if err != nil {
			return fmt.Errorf("%s: %w", in.name, err)
		}
		if err := os.WriteFile(filepath.Join(o.write, in.name+".txt"), r.text(metricsIn(string(rules))), 0o644); err != nil {
			return err
		}
		if o.openMetrics == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(o.openMetrics, in.name+".om"), r.openMetrics(), 0o644); err != nil {
			return err
		}
	}
	return nil
}
