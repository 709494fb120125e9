package metrics

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

const (
	alertsFile    = "../deploy/alerts.yml"
	dashboardFile = "../deploy/grafana-dashboard.json"
	repository    = "https://github.com/holdfast-mq/holdfast/blob/main/"
)

// existing returns the names that a query may use.
func existing() map[string]bool {
	names := make(map[string]bool)
	for i := range families {
		f := &families[i]
		if f.kind != kindHistogram {
			names[f.name] = true
			continue
		}
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			names[f.name+suffix] = true
		}
	}
	return names
}

// checkNames checks that the metrics in a text exist, and returns how many there are.
func checkNames(t *testing.T, place, text string) int {
	t.Helper()
	names, found := existing(), regexp.MustCompile(`\bholdfast_[a-z_]+`).FindAllString(text, -1)
	for _, name := range found {
		if !names[name] {
			t.Errorf("%s names %s, which does not exist", place, name)
		}
	}
	return len(found)
}

type alertRule struct {
	Alert       string
	Expr        string
	For         string
	Labels      map[string]string
	Annotations map[string]string
}

func alertRules(t *testing.T) (all []alertRule) {
	t.Helper()
	text, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Groups []struct{ Rules []alertRule } }
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// Each alert uses metrics that exist, and says what it means and what to do. Its runbook is a
// section of a page.
func TestAlerts(t *testing.T) {
	rules := alertRules(t)
	if len(rules) < 20 {
		t.Fatalf("%d rules", len(rules))
	}
	for _, r := range rules {
		if checkNames(t, r.Alert, r.Expr) == 0 && !strings.Contains(r.Expr, "up{") {
			t.Errorf("%s uses no metric: %s", r.Alert, r.Expr)
		}
		if s := r.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s has the severity %q", r.Alert, s)
		}
		for _, name := range []string{"summary", "description"} {
			if text := r.Annotations[name]; len(text) < 20 || !strings.HasSuffix(text, ".") {
				t.Errorf("%s: its %s is %q", r.Alert, name, text)
			}
		}
		if !isSection(t, r.Annotations["runbook_url"]) {
			t.Errorf("%s: its runbook %s is not a section of a page", r.Alert, r.Annotations["runbook_url"])
		}
	}
}

// isSection reports whether a URL is that of a section of a page of the repository.
func isSection(t *testing.T, url string) bool {
	t.Helper()
	path, ours := strings.CutPrefix(url, repository)
	file, anchor, found := strings.Cut(path, "#")
	if !ours || !found {
		return false
	}
	text, err := os.ReadFile(filepath.Join("../..", filepath.FromSlash(file)))
	if err != nil {
		t.Error(err)
		return false
	}
	return slices.ContainsFunc(regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(text), -1), func(heading []string) bool {
		return anchorOf(heading[1]) == anchor
	})
}

// anchorOf returns the anchor that GitHub gives a heading.
func anchorOf(heading string) string {
	kept := strings.Map(func(r rune) rune {
		if r == ' ' {
			return '-'
		}
		if strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-_", r) {
			return r
		}
		return -1
	}, strings.ToLower(heading))
	return kept
}

// The dashboard uses metrics that exist.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	type panel struct {
		Type, Title, Description string
		Targets                  []struct{ Expr string }
	}
	var dashboard struct {
		Title  string
		Panels []panel
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	names := 0
	for _, p := range dashboard.Panels {
		if p.Type == "row" {
			continue
		}
		if p.Title == "" || len(p.Targets) == 0 || p.Description == "" {
			t.Errorf("panel %q has no title, description or query", p.Title)
		}
		for _, target := range p.Targets {
			names += checkNames(t, p.Title, target.Expr)
		}
	}
	if names < 30 {
		t.Errorf("the dashboard uses %d metrics", names)
	}
}
