"""How programs and web bundles that are no Python package are got: one file each, with `obtain` and `at_hand`.

`at_hand(search)` finds what needs neither the network nor time, or None; `obtain(search)` goes on to fetch or build,
and raises SamseshError whose detail has a line for each way it tried. What the settings name is used or refused,
never passed over. Both start what they find, to ask for its version: not for root, who installs coturn only.
"""
