# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything of SOLID that imports Blender (`bpy`): mesh cleaning, room reading, rendering. See README.md
beside this.
"""
