package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// output is how answers are printed.
type output struct{ format string }

// Formats of answers.
const (
	formatTable = "table"
	formatJSON  = "json"
)

func (o *output) addFlag(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.format, "output", "o", formatTable, "how to print: table or json")
	cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{formatTable, formatJSON}, cobra.ShellCompDirectiveNoFileComp))
}

func (o *output) check() error {
	if o.format != formatTable && o.format != formatJSON {
		return fmt.Errorf("--output %q: there are %s and %s", o.format, formatTable, formatJSON)
	}
	return nil
}

// table prints rows below a header, in columns.
func table(out io.Writer, header []string, rows [][]string) error {
	w := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	fmt.Fprintln(w, strings.Join(header, "\t"))
	for _, row := range rows {
		for i := range row {
			row[i] = printable(row[i])
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// printJSON prints a message as JSON, on one line or several.
func printJSON(out io.Writer, m proto.Message, indent bool) error {
	return printNamed(out, "", m, indent)
}

// printNamed is printJSON with the name of what the message is about, if it is
// given and not in it.
func printNamed(out io.Writer, name string, m proto.Message, indent bool) error {
	b, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return err
	}
	value := map[string]any{} // protojson's own spaces change from build to build
	if err := json.Unmarshal(b, &value); err != nil {
		return err
	}
	if name != "" {
		value["name"] = name
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if indent {
		e.SetIndent("", "  ")
	}
	if err := e.Encode(value); err != nil {
		return err
	}
	_, err = out.Write(escapeControls(text.Bytes()))
	return err
}

// escapeControls escapes in JSON what its encoder leaves as it is and could move a
// terminal's cursor: it can only be within strings.
func escapeControls(text []byte) []byte {
	var out []byte
	for _, r := range string(text) {
		if r >= 0x7f && unicode.IsControl(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
			continue
		}
		out = utf8.AppendRune(out, r)
	}
	return out
}

// printable drops what could move a terminal's cursor: parts of it may come from
// a guest.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// ago is how long ago a time was, in a few words.
func ago(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	return lengthOfTime(time.Since(t.AsTime())) + " ago"
}

// lengthOfTime is one in a few words.
func lengthOfTime(d time.Duration) string { return strings.ToLower(units.HumanDuration(d)) }

func bytesText(n uint64) string { return units.BytesSize(float64(n)) }

// words is the value of an enumeration without its prefix, in small letters.
func words(name, prefix string) string {
	return strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, prefix), "_", " "))
}
