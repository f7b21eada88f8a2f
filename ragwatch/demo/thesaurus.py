"""What people say and what reference documentation says: words of a question → words to look for as well.

Written from general programming vocabulary and the ``dev`` part of the golden questions; the ``test`` part was not
consulted. A one-way table: ``folder`` also looks for *directory*, not the other way round.
"""

from __future__ import annotations

_TABLE = """
folder: directory
delete erase wipe: remove unlink
remove drop: delete discard strip
make generate build: create new
create: make new
missing absent: intermediate default exist
parent: intermediate
big large long: size length
size: length bytes
small tiny: least
content contents whole entire: read data
turn change transform: convert
convert: return
duplicate clone: copy
glue combine concatenate: join
join: concatenate
merge: update combine
similar similarity alike: compare ratio
suggest: close match
closest nearest: close best
difference differences diff: compare delta
show display: print return
nice nicely readable pretty: pretty pprint format
order sort: sorted sort
ordering: permutation order
backwards reverse: reverse reversed
end tail: append right last
begin beginning start starts begins: prefix first
ending ends: suffix
put insert store: add insert append
add: append
iterate loop walk: iterator iterable
parallel simultaneously concurrently: concurrent aggregate
pair pairs: tuple
keep: filter
apply: function call
number numbers: integer numeric
total: sum
item items entry: element
element elements: item
dictionary dictionaries: dict mapping
dict: dictionary mapping
list: sequence
value: item
queue: deque queue
push: append put
take pop: pop remove
several multiple many: iterable
biggest largest greatest highest maximum: max largest
smallest lowest least minimum: min smallest
independent deep nested: deep recursive
argument arguments parameter parameters: args signature
comparison: cmp compare
pause wait sleep: sleep delay wait block
second seconds: time timeout
exact precise: exactly decimal
money currency: decimal
up ceiling: ceil
down: floor
tolerance approximately: close
average: mean
middle: median
spread variation: deviation variance
compare: equal comparison
integer: int
mix randomly: random shuffle
bounds range: range
secret secure safe: cryptographically key token
verify authenticate: authentication digest
checksum hash fingerprint: digest hash
hexadecimal: hex
download fetch: retrieve url open
web website: url http html
page link: url
email mail: message smtp
address: host url
connect connection: connect socket
tool program application: program command
launch execute start spawn: run start execute
external: subprocess child process
kill: terminate signal
quit leave exit: exit termination
simple easy: basic
save: write dump store
load: read parse
parse: parse read
text: string str
string: str
letter letters character characters: character string
capital capitals uppercase: upper uppercase capitalize titlecase
lowercase: lower casefold
whitespace blank spaces: whitespace strip
trim: strip whitespace
substring: substring find
swap exchange: replace substitute
regex regexp: regular expression pattern
wildcard: pattern glob shell
matches match: pattern
escape quote: escape quote special
column columns: fields
rows row: csv row record
comma: csv delimiter
settings options configuration config: configuration option parser
fail fails failure error errors: exception error
catch: except handler
work job task: task thread
background: thread task concurrent
pool: executor workers
processor processors core cores: cpu cpus process
safely: synchronized
signal: signal event
collect gather: gather aggregating results
coroutine coroutines: awaitable coroutine
handler: callback handler
ignore hide suppress: ignore suppress filter
variable variables: variable binding
declare define: define decorator
fields: attributes
constructor: init
constants: enumeration enum
interface: abstract
belong belongs: instance member
memory: allocated memory size
identifier: uuid identifier
os: platform system
operating: platform system
executed: finally executed
condition: truth test
executable: command executable
pack compress: archive compress
unpack extract decompress: archive extract unpack
archive zip: archive
temporary scratch: temporary tempfile
permission permissions: mode chmod
location place where: path
full: absolute
extension ending: suffix extension
name called: name
modified changed: modification mtime
free space left: usage free space disk
drive: disk
count occurs occurrences often frequency: count counts
common frequent: common
unique: unique uuid
first: first leading
flatten: chain iterable
bunches groups group: group consecutive
remember memoize: cache
expensive: cache
wrapped wrapper decorator: wrapper decorator
date day: date datetime
moment timestamp: time timestamp
timezone zone zones: tz timezone
duration durations span: duration difference
clock: clock counter
fast speed: measure time performance
profile profiling: profile profiler
debugger debug: pdb debugger
fake: mock patch
test: test assert
examples: examples docstring
user: user input
keyboard: input stdin
password: password prompt
browser: browser url
attribute: attribute
class: class type
object: object instance
module: module import
unicode: unicode character
binary: bytes binary
bytes: bytes
table sql database: database sqlite
"""


def _read(table: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for line in table.strip().splitlines():
        said, meant = line.split(":")
        for word in said.split():
            found[word] = (*found.get(word, ()), *(other for other in meant.split() if other != word))
    return found


MEANINGS = _read(_TABLE)
