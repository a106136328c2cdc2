//! The workflows whose every moment an engine and a hub do not survive.

/// Has a bit of everything, and ends at a gate.
pub const GRAPH: &str = r#"  first:
    outputs: { list: '${{ steps.s.outputs.list }}' }
    steps:
      - { uses: actions/cache@v4, with: { path: deps, key: deps } }
      - { id: s, run: 'echo first; echo "list=[1, 2]" >> $GITHUB_OUTPUT; echo kept > out; echo dep > deps' }
    produces: { out: out }
  each:
    needs: first
    strategy: { matrix: { n: '${{ fromJSON(needs.first.outputs.list) }}' } }
    consumes: { in: '${{ needs.first.artifacts.out }}' }
    steps: [{ run: 'echo each $(cat in) ${{ matrix.n }}; echo {\"acc\":0.${{ matrix.n }}} > m.json; echo ${{ matrix.n }} > model' }]
    metrics: { files: m.json, goals: { acc: max } }
    produces: { model: model }
  judged:
    needs: each
    consumes: { model: "${{ best(needs.each, 'acc').artifacts.model }}" }
    steps: [{ run: 'echo best $(cat model); echo {\"acc\":0.2} > m.json' }, { gate: { metrics: { acc: { min: 0.9 } } } }]
    metrics: m.json
  shipped: { needs: judged, steps: [{ run: 'echo never' }] }
  tried:
    retry: { attempts: 2, on: [failure], backoff: { initial: 0.2s } }
    steps:
      - run: 'case $HOSTNAME in *-1-?????) echo fails; exit 3;; esac; echo holds'
      - { if: 'always()', run: 'echo cleaned up' }
  reported:
    needs: [judged, tried]
    if: always()
    steps:
      - { uses: actions/cache/restore@v4, with: { path: deps, key: deps } }
      - { run: 'echo reported ${{ needs.judged.result }} ${{ needs.tried.result }} with $(cat deps)' }
  made: { cache: true, steps: [{ run: 'echo made > x' }], produces: { x: x } }
  again: { needs: made, cache: true, steps: [{ run: 'echo made > x' }], produces: { x: x } }
  served:
    services:
      web:
        image: docker.io/test/busybox:1
        ports: [8080]
        options: --health-cmd "test -e /tmp/ready" --health-interval 1s --health-retries 240
        entrypoint: sh
        command: -c "touch /tmp/ready; while true; do echo served | nc -l -p 8080; done"
    steps:
      - { run: 'nc web 8080 < /dev/null | tee file' }
      - { container: 'docker.io/test/python:1', shell: bash, run: 'echo in python; echo more >> file' }
      - { run: 'cat file' }
  pair: { nodes: 2, steps: [{ run: 'echo node $NODE_RANK of $NNODES' }] }
"#;

/// What `runs logs 1` is asked about [`GRAPH`], besides nothing.
pub const LOGS: &[&[&str]] = &[
    &["first"],
    &["each", "--matrix", "n=1"],
    &["each", "--matrix", "n=2"],
    &["judged"],
    &["tried", "--attempt", "1"],
    &["tried", "--attempt", "2"],
    &["reported"],
    &["made"],
    &["served"],
    &["pair", "--node", "0"],
    &["pair", "--node", "1"],
];

/// Is cancelled once both of its first jobs are at their first step, which may not have said anything by then.
pub const CANCELLED: &str = "  waits:
    steps: [{ run: sleep 600 }, { if: 'always()', run: 'echo cleaned up' }]
  pair:
    nodes: 2
    steps: [{ run: sleep 600 }, { if: 'cancelled()', run: 'echo cleaned up' }]
  last: { needs: waits, if: 'always()', steps: [{ run: 'echo last ${{ needs.waits.result }}' }] }
  never: { needs: [waits, pair], steps: [{ run: 'echo never' }] }
";

/// What `runs logs 1` is asked about [`CANCELLED`]: not node 1, which may be ended before it says anything.
pub const CANCELLED_LOGS: &[&[&str]] = &[&["waits"], &["pair", "--node", "0"], &["last"]];
